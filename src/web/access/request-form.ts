/** `/access?role=NAME`: the form that asks for one role, and `POST /access`. */
import type { OfferedRole } from '../../services/access/access.ts';
import { MOST_REASON } from '../../core/access/request.ts';
import { BROWSER_CLIENT } from '../../core/core.ts';
import { AppError } from '../../core/errors.ts';
import { lastUseOf, type SessionRecord } from '../../store/store.ts';
import { field } from '../browser/guards.ts';
import { approvalText, clusterList, nameList } from '../page/access-text.ts';
import { clientName, deviceOf, quotedName } from '../page/client-label.ts';
import { minutesText } from '../../core/time.ts';
import { card, facts } from '../page/card.ts';
import { textField, tied, type FieldErrors } from '../page/field.ts';
import { html, type Html } from '../page/html.ts';
import { csrfField, moment } from '../page/layout.ts';
import { freshHref, type AccessContext } from './context.ts';

/** What the user has typed, where the form is shown again. */
export interface GivenRequest {
  readonly role: string;
  readonly seconds: string;
  readonly reason: string;
  readonly session: string;
}

/** A page of the ten that were used last is enough to choose from. */
const MOST_SESSIONS = 10;
const READ_SESSIONS = 50;

/**
 * Returns the sessions that a grant makes sense for, the one that was used last first: a browser’s makes requests to clusters
 * in web consoles only.
 */
export async function eligibleSessions({
  deps,
  user,
}: Pick<AccessContext, 'deps' | 'user'>): Promise<readonly SessionRecord[]> {
  const hasConsoles = (deps.consoles?.consoles.length ?? 0) > 0;
  const { sessions } = await deps.store.sessions.list({
    account: user.account,
    only: 'own',
    limit: READ_SESSIONS,
    where: ({ client }) => client !== BROWSER_CLIENT || hasConsoles,
  });
  const rank = ({ client }: SessionRecord): number => (client === BROWSER_CLIENT ? 1 : 0);
  return sessions
    .toSorted((left, right) => rank(left) - rank(right) || lastUseOf(right) - lastUseOf(left))
    .slice(0, MOST_SESSIONS);
}

const USUAL_SECONDS = [300, 900, 1800, 3600, 7200, 14_400, 28_800, 43_200];
const DEFAULT_SECONDS = 1800;

/** Returns what may be chosen, up to the longest. */
const durations = (longest: number): readonly number[] => [
  ...USUAL_SECONDS.filter((seconds) => seconds < longest),
  longest,
];

function durationField(longest: number, given: string | undefined, errors: FieldErrors): Html {
  const hint = 'It counts from the approval, and you can end it before.';
  const [attributes, texts] = tied({ name: 'seconds', hint }, errors);
  const chosen = given ?? String(Math.min(DEFAULT_SECONDS, longest));
  const option = (seconds: number): Html =>
    html`<option value="${seconds}" ${String(seconds) === chosen && html`selected`}>${minutesText(seconds)}</option>`;
  return html`<div class="field">
    <label for="seconds">For how long</label>
    <select id="seconds" name="seconds" ${attributes}>
      ${durations(longest).map(option)}
    </select>
    ${texts}
  </div>`;
}

function reasonField(
  { reason: pattern, approval }: OfferedRole['role'],
  given: string | undefined,
  errors: FieldErrors,
): Html {
  const who = approval === 'none' ? 'It is audited' : 'Approvers read it, and it is audited';
  return textField({
    name: 'reason',
    label: `Reason${pattern === undefined ? ' (optional)' : ''}`,
    value: given ?? '',
    required: pattern !== undefined,
    most: MOST_REASON,
    prose: true,
    hint: html`${who}.${pattern !== undefined && html` All of it must match <code>${pattern}</code>.`}`,
    errors,
  });
}

function sessionChoice(session: SessionRecord, current: string, checked: boolean): Html {
  const { id, client, deviceName, userAgent, address } = session;
  const name =
    client === BROWSER_CLIENT
      ? html`${id === current ? 'This browser' : deviceOf(userAgent)}, for web consoles`
      : html`${clientName(client)}${deviceName !== undefined && html` on ${quotedName(deviceName)}`},
        ${deviceOf(userAgent)}`;
  return html`<label class="check"
    ><input type="radio" name="session" value="${id}" ${checked && html`checked`} />
    <span
      >${name}<span class="small muted own-line"
        >${address !== '' && `from ${address}, `}last used ${moment(lastUseOf(session))}</span
      ></span
    ></label
  >`;
}

function sessionField(sessions: readonly SessionRecord[], current: string, given: string | undefined): Html {
  const chosen = sessions.find(({ id }) => id === given) ?? sessions[0];
  return html`<fieldset>
    <legend>Which of your sessions gets it</legend>
    <div class="stack choices">${sessions.map((session) => sessionChoice(session, current, session === chosen))}</div>
  </fieldset>`;
}

const noSession = (): Html =>
  html`<p class="empty">
    You have no session that could use it. Run <code>kubectl get pods</code> in a terminal to sign in there, then load
    this page again.
  </p>`;

export interface RequestForm {
  readonly offered: OfferedRole;
  readonly sessions: readonly SessionRecord[];
  readonly user: AccessContext['user'];
  readonly given?: GivenRequest;
  readonly errors?: FieldErrors;
}

export const roleHref = (role: string): string => `/access?${new URLSearchParams({ role }).toString()}`;

function fields({ offered: { role }, sessions, user, given, errors = {} }: RequestForm): Html {
  const label = role.approval === 'none' ? 'Get it now' : 'Send the request';
  return html`<form class="stack measure" method="post" action="/access">
    ${csrfField(user.csrf)}
    <input type="hidden" name="role" value="${role.name}" />
    ${durationField(role.longest, given?.seconds, errors)} ${reasonField(role, given?.reason, errors)}
    ${sessionField(sessions, user.session, given?.session)}
    ${
      role.approval === 'none' &&
      html`<div class="notice warn">
        <p>Break-glass: you get it at once, and the security team is alerted.</p>
      </div>`
    }
    <div class="row">
      <button class="button">${label}</button>
      <a class="button quiet" href="/access">Cancel</a>
    </div>
  </form>`;
}

const signInAgain = ({ role }: OfferedRole): Html =>
  html`<p>This role is for users who have just signed in. After the sign-in you return to this form.</p>
    <p><a class="button" href="${freshHref(roleHref(role.name))}">Sign in again</a></p>`;

/** Returns the card with the form of one role. */
export function requestCard(form: RequestForm): Html {
  const { offered, sessions } = form;
  const { role, needsFreshSignIn } = offered;
  const content = needsFreshSignIn ? signInAgain(offered) : sessions.length === 0 ? noSession() : fields(form);
  const list = facts([
    ['Groups', nameList(role.groups, 'none')],
    ['Clusters', clusterList(role)],
    ['Approval', approvalText(role)],
  ]);
  return card('ask', `Request ${role.name}`, html`<p>${role.description}</p>`, list, content);
}

export function givenBy({ req }: Pick<AccessContext, 'req'>): GivenRequest {
  return {
    role: field(req, 'role'),
    seconds: field(req, 'seconds'),
    reason: field(req, 'reason'),
    session: field(req, 'session'),
  };
}

/** Returns the duration of the form. @throws AppError `bad_request` */
export function secondsOf({ seconds }: GivenRequest): number {
  if (/^[1-9]\d{0,5}$/.test(seconds)) return Number(seconds);
  throw new AppError('bad_request', 'Choose for how long you need it.', { reason: 'request_malformed' });
}
