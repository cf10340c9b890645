/**
 * The search of the site, as a plain script: it works from a folder, where a browser loads no module and fetches nothing. MiniSearch and the
 * text of all pages are loaded when the dialog is opened first.
 */
(() => {
  const MOST = 12;
  const AROUND = 70;

  const load = (address) =>
    new Promise((resolve, reject) => {
      const script = document.createElement('script');
      script.src = address;
      script.addEventListener('load', resolve);
      script.addEventListener('error', () => reject(new Error(`${address} cannot be loaded`)));
      document.head.append(script);
    });

  let index;
  async function open(assets) {
    await Promise.all([load(`${assets}minisearch.js`), load(`${assets}search-text.js`)]);
    index = new globalThis.MiniSearch({
      fields: ['heading', 'page', 'text'],
      storeFields: ['heading', 'page', 'text'],
      searchOptions: {
        boost: { heading: 3, page: 2 },
        prefix: true,
        fuzzy: (term) => (term.length > 5 ? 0.2 : false),
        combineWith: 'AND',
      },
    });
    index.addAll(globalThis.portcullisSearchText);
  }

  /** The text around the first match, which is marked; as text, so that nothing in a page becomes markup. */
  function excerpt(text, terms) {
    const small = text.toLowerCase();
    const found = terms.map((term) => ({ term, at: small.indexOf(term) })).filter(({ at }) => at >= 0);
    const first = found.toSorted((a, b) => a.at - b.at)[0];
    if (first === undefined) return [text.slice(0, 2 * AROUND)];
    const from = Math.max(0, text.lastIndexOf(' ', first.at - AROUND) + 1);
    const to = first.at + first.term.length;
    const end = text.indexOf(' ', to + AROUND);
    const mark = document.createElement('mark');
    mark.textContent = text.slice(first.at, to);
    return [
      from === 0 ? '' : '… ',
      text.slice(from, first.at),
      mark,
      text.slice(to, end < 0 ? text.length : end),
      end < 0 ? '' : ' …',
    ];
  }

  function resultOf({ id, page, heading, text, terms }, root) {
    const [item, link, name, around] = ['li', 'a', 'strong', 'span'].map((tag) => document.createElement(tag));
    link.href = `${root}${id}`;
    name.textContent = heading === '' ? page : `${page} › ${heading}`;
    around.append(...excerpt(text, terms));
    link.append(name, around);
    item.append(link);
    return item;
  }

  class SiteSearch extends HTMLElement {
    connectedCallback() {
      const assets = this.dataset.assets;
      const dialog = this.querySelector('dialog');
      const input = this.querySelector('input');
      const status = this.querySelector('[role="status"]');
      const list = this.querySelector('ol');

      const show = () => {
        const query = input.value.trim();
        if (index === undefined) return;
        const found = query === '' ? [] : index.search(query);
        list.replaceChildren(...found.slice(0, MOST).map((one) => resultOf(one, `${assets}../`)));
        status.textContent = query === '' ? '' : found.length === 0 ? 'Nothing found.' : `${found.length} found`;
      };
      const openDialog = () => {
        if (dialog.open) return;
        dialog.showModal();
        input.select();
        if (index !== undefined) return;
        status.textContent = 'Loading …';
        open(assets).then(show, (error) => {
          status.textContent = error.message;
        });
      };

      this.querySelector('[data-open]').addEventListener('click', openDialog);
      input.addEventListener('input', show);
      // Enter in the field leads to the best result, and does not close the dialog.
      input.addEventListener('keydown', (event) => {
        if (event.key !== 'Enter') return;
        event.preventDefault();
        list.querySelector('a')?.click();
      });
      dialog.addEventListener('click', (event) => {
        if (event.target === dialog || event.target.closest('a') !== null) dialog.close();
      });
      addEventListener('keydown', (event) => {
        const typing = /^(?:input|textarea|select)$/i.test(document.activeElement?.tagName ?? '');
        const combination = (event.ctrlKey || event.metaKey) && event.key === 'k';
        if (!combination && (event.key !== '/' || typing || event.ctrlKey || event.metaKey || event.altKey)) return;
        event.preventDefault();
        openDialog();
      });
    }
  }
  customElements.define('site-search', SiteSearch);
})();
