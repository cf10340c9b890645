/** The frame of a card, and the list of facts in it. */
import { html, type Html, type HtmlValue } from './html.ts';

/** What it is called, and what it is. `false`: there is none here. */
export type Fact = readonly [name: HtmlValue, value: HtmlValue] | false;

/** @param style further classes of the list */
export const facts = (list: readonly Fact[], style = ''): Html =>
  html`<dl class="facts${style}">
    ${list.map(
      (fact) =>
        fact &&
        html`<dt>${fact[0]}</dt>
          <dd>${fact[1]}</dd>`,
    )}
  </dl>`;

/** @param id of its heading */
export const card = (id: string, title: HtmlValue, ...content: readonly HtmlValue[]): Html =>
  html`<section class="card" aria-labelledby="${id}">
    <h2 id="${id}">${title}</h2>
    ${content}
  </section>`;
