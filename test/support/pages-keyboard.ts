/** A user who has a keyboard and nothing else. */
import type { Page } from 'playwright-core';

interface Focus {
  /** What a screen reader would call it, as far as these tests need to know. */
  readonly name: string;
  readonly tag: string;
  /** Something shows that it has the focus. */
  readonly visible: boolean;
}

const FOCUS = `(() => {
  const one = document.activeElement;
  const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(one);
  const name = one.getAttribute('aria-label') ?? one.labels?.[0]?.textContent ?? one.textContent ?? '';
  return {
    name: name.replace(/\\s+/g, ' ').trim(),
    tag: one.localName,
    visible: (outlineStyle !== 'none' && parseFloat(outlineWidth) > 0) || boxShadow !== 'none',
  };
})()`;

export const focusOf = (page: Page): Promise<Focus> => page.evaluate<Focus>(FOCUS);

const MOST_TABS = 80;

/**
 * Presses Tab until something of that name has the focus.
 * @throws Error where nothing has, or where the focus is invisible on the way
 */
export async function tabTo(page: Page, tag: string, name: RegExp): Promise<void> {
  const passed: string[] = [];
  for (let tab = 0; tab < MOST_TABS; tab += 1) {
    await page.keyboard.press('Tab');
    const focus = await focusOf(page);
    // Out of the page, at the browser's own buttons.
    if (focus.tag === 'body') continue;
    if (!focus.visible) throw new Error(`nothing shows that “${focus.name}” (${focus.tag}) has the focus`);
    if (focus.tag === tag && name.test(focus.name)) return;
    passed.push(focus.name);
  }
  throw new Error(`no ${tag} called ${name} among: ${passed.join(' | ')}`);
}
