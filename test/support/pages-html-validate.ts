/** How strictly the HTML that the server sends is read. */
import { HtmlValidate, StaticConfigLoader, type ConfigData } from 'html-validate';

const CONFIG: ConfigData = {
  root: true,
  extends: ['html-validate:recommended', 'html-validate:document'],
  rules: {
    // HTML takes both, and the formatter of this project writes these.
    'doctype-style': ['error', { style: 'lowercase' }],
    'void-style': ['error', { style: 'selfclose' }],
    // What comes from the page's own origin comes from anyone who could change the hash in the page too.
    'require-sri': ['error', { target: 'crossorigin' }],
    // The templates leave some where a part is left out; it is not visible.
    'no-trailing-whitespace': 'off',
    // A label around its field that also names it is heard by more speech programs than one that does only one of the two.
    'no-redundant-for': 'off',
    // A button without a type submits its form (HTML, 4.10.6), and that is the purpose of every button here.
    'no-implicit-button-type': 'off',
  },
};

const validator = new HtmlValidate(new StaticConfigLoader(CONFIG));

/** @returns a line for each error, warnings included; none for a page that is as it should be */
export async function htmlErrors(html: string): Promise<readonly string[]> {
  const { results } = await validator.validateString(html);
  return results.flatMap(({ messages }) =>
    messages.map(({ ruleId, message, line, column }) => `${line}:${column} ${message} (${ruleId})`),
  );
}
