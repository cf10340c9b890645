/** The demo identity provider's few pages. They look unlike Portcullis' own, so that a newcomer sees who asks for the password. */
import type { DemoUser } from '../demo.ts';

export const STYLE = `
:root { color-scheme: light dark; --ink: #1c1f24; --page: #f3efe7; --card: #fff; --line: #d8d0c0; --accent: #8a5a00; }
@media (prefers-color-scheme: dark) { :root { --ink: #ece7dc; --page: #1d1a15; --card: #28241d; --line: #4a4335; --accent: #e2b154; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
main { width: min(24rem, calc(100vw - 2rem)); padding: 2rem; background: var(--card); border: 1px solid var(--line); border-radius: 6px; }
h1 { margin: 0 0 .25rem; font-size: 1.25rem; }
p { margin: .25rem 0 1rem; }
label { display: block; margin: .75rem 0 .25rem; font-weight: 600; }
input { width: 100%; padding: .6rem; font: inherit; color: inherit; background: transparent; border: 1px solid var(--line); border-radius: 4px; }
button { margin-top: 1.25rem; width: 100%; padding: .7rem; font: inherit; font-weight: 600; color: var(--card); background: var(--accent); border: 1px solid var(--accent); border-radius: 4px; }
button.quiet { margin-top: .75rem; color: var(--ink); background: transparent; border-color: var(--line); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
table { width: 100%; margin-top: 1.5rem; border-top: 1px solid var(--line); font-size: .875rem; border-collapse: collapse; }
th { padding: .75rem .75rem 0 0; text-align: left; } td { padding: .15rem .75rem .15rem 0; vertical-align: top; }
th:last-child, td:last-child { padding-right: 0; } td:nth-child(-n+2) { white-space: nowrap; }
.error { padding: .5rem .75rem; border-left: 3px solid #b3261e; }
`;

const escape = (text: string): string => text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);

const page = (title: string, body: string): string => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(title)}</title><link rel="stylesheet" href="/style.css"></head>
<body><main>${body}</main></body></html>`;

export function loginPage(uid: string, users: readonly DemoUser[], error?: string): string {
  const rows = users.map(
    ({ name, password, role }) =>
      `<tr><td>${escape(name)}</td><td>${escape(password)}</td><td>${escape(role)}</td></tr>`,
  );
  return page(
    'Demo company sign-in',
    `<h1>Demo company</h1><p>This page plays your company's identity provider.</p>
${error === undefined ? '' : `<p class="error" role="alert">${escape(error)}</p>`}
<form method="post" action="/interaction/${escape(uid)}">
<label for="login">Name</label><input id="login" name="login" autocomplete="username" autocapitalize="none" required autofocus>
<label for="password">Password</label><input id="password" name="password" type="password" autocomplete="current-password" required>
<button type="submit">Sign in</button></form>
<table><tr><th>Name</th><th>Password</th><th>Who</th></tr>${rows.join('')}</table>`,
  );
}

export function consentPage(uid: string, user: string): string {
  return page(
    'Share your details',
    `<h1>Share your details with Portcullis?</h1><p>${escape(user)}, Portcullis asks for your name, e-mail address and groups,
and to ask again while you are signed in there.</p>
<form method="post" action="/interaction/${escape(uid)}"><button type="submit" autofocus>Share and go on</button>
<button type="submit" class="quiet" name="cancel" value="yes">Cancel</button></form>`,
  );
}

export function messagePage(title: string, message: string): string {
  return page(title, `<h1>${escape(title)}</h1><p>${escape(message)}</p>`);
}
