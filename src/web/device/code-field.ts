/** The form in which a user types a code that a terminal shows. */
import { html, type Html } from '../page/html.ts';
import { csrfField } from '../page/layout.ts';

export interface CodeContent {
  readonly csrf: string;
  /** What was wrong with the code that was typed before. */
  readonly error?: string;
}

/** Eight letters with any separators; the server ignores the separators. */
const CODE_PATTERN = '[^A-Za-z0-9]*([A-Za-z][^A-Za-z0-9]*){8}';

/** @param action the path that takes it */
export function codeForm(action: string, { csrf, error }: CodeContent): Html {
  const wrong = error !== undefined;
  return html`<form class="stack" method="post" action="${action}">
    ${csrfField(csrf)}
    <div class="field">
      <label for="user-code">Code</label>
      <input
        type="text"
        class="code"
        id="user-code"
        name="user_code"
        aria-describedby="${wrong ? 'code-problem code-help' : 'code-help'}"
        ${wrong && html`aria-invalid="true"`}
        autocomplete="off"
        autocapitalize="characters"
        inputmode="text"
        enterkeyhint="go"
        spellcheck="false"
        maxlength="20"
        pattern="${CODE_PATTERN}"
        title="Eight letters, such as BCDF-GHJK"
        placeholder="XXXX-XXXX"
        required
        autofocus
      />
      ${wrong && html`<p class="error" id="code-problem" role="alert">${error}</p>`}
      <p class="hint" id="code-help">Eight letters. Case, spaces and dashes are ignored.</p>
    </div>
    <button class="button wide">Continue</button>
  </form>`;
}

/** Formats the code as the terminal shows it, so that the user can compare the two. */
export function shownCode(typed: string): string {
  const letters = typed.toUpperCase().replaceAll(/[^A-Z0-9]/g, '');
  return letters.length === 8 ? `${letters.slice(0, 4)}-${letters.slice(4)}` : letters;
}
