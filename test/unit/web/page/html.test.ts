import { assert, property, string } from 'fast-check';
import { describe, expect, test } from 'vitest';
import { escapeHtml, Html, html } from '../../../../src/web/page/html.ts';

describe('the html template', () => {
  test('escapes every value and leaves its own markup alone', () => {
    const name = `<img src=x onerror="alert('1')">&\``;
    expect(html`<p title="${name}">${name}</p>`.toString()).toBe(
      `<p title="${escapeHtml(name)}">&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt;&amp;&#96;</p>`,
    );
  });

  test('prints nested markup once, lists joined, and nothing for undefined and false', () => {
    const items = ['a', '<b>'].map((item) => html`<i>${item}</i>`);
    expect(html`<b>${items}${undefined}${false}${0}</b>`.toString()).toBe('<b><i>a</i><i>&lt;b&gt;</i>0</b>');
  });

  test('no text whatever opens a tag, ends an attribute or begins an entity of its own', () => {
    assert(
      property(string({ unit: 'binary' }), (text) => {
        const escaped = escapeHtml(text);
        expect(escaped).not.toMatch(/[<>"'`]/);
        expect(escaped.replace(/&(?:amp|lt|gt|quot|#39|#96);/g, '')).not.toContain('&');
      }),
    );
  });

  test('markup cannot be made from a string', () => {
    const make = Html as unknown as new (token: symbol, markup: string) => Html;
    expect(() => new make(Symbol('html'), '<script>')).toThrow('only the html template');
  });
});
