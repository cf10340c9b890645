/** Access requests in memory, for the pages: as the module `access` has them, but for the store and the providers. */
import { randomBytes } from 'node:crypto';
import type { AccessCaller, AccessRequests, RequesterBackground } from '../../../../src/admin/access-requests.ts';
import type { AccessDecision, AccessRequest } from '../../../../src/core/access/request.ts';
import { mayApprove, mayRequest, termsOf, type AccessRole } from '../../../../src/core/access/role.ts';
import { ProblemError } from '../../../../src/http/problem.ts';
import type { RevocationResult } from '../../../../src/revocation/revocation.ts';
import type { WebDeps } from '../../../../src/web/dependencies.ts';

const REJECTIONS = { bad_request: 400, unauthenticated: 401, forbidden: 403, not_found: 404, conflict: 409 } as const;

const rejection = (code: keyof typeof REJECTIONS, problem: string, message: string): ProblemError =>
  new ProblemError({ problem, status: REJECTIONS[code], code }, message, { audited: true });

export const ROLE: AccessRole = {
  name: 'shop-admins',
  description: 'Change everything in the shop’s namespaces.',
  groups: ['access:shop-admins'],
  clusters: ['prod'],
  requesters: ['corp:developers', 'corp:platform'],
  approval: { groups: ['corp:platform'], count: 1 },
  longest: 7200,
  reason: 'INC-[0-9]+.*',
};

export class AccessInMemory implements AccessRequests {
  readonly requests = new Map<string, AccessRequest>();
  background_: RequesterBackground = { recent: [], former: [] };
  result: RevocationResult | undefined;
  readonly #deps: WebDeps;

  constructor(deps: WebDeps) {
    this.#deps = deps;
  }

  get #now(): number {
    return Math.floor(this.#deps.clock.nowMs() / 1000);
  }

  #role(name: string): AccessRole | undefined {
    return this.#deps.config.access.roles.find((role) => role.name === name);
  }

  roles({ actor }: AccessCaller): ReturnType<AccessRequests['roles']> {
    const { roles } = this.#deps.config.access;
    const isOld = (seconds = Infinity): boolean => this.#now - (actor.proof.authTime ?? 0) > seconds;
    return roles
      .filter((role) => mayRequest(role, actor.identity))
      .map((role) => ({ role, needsFreshSignIn: isOld(role.freshness) }));
  }

  async mine({ actor }: AccessCaller): ReturnType<AccessRequests['mine']> {
    return { requests: this.#newest(({ account }) => account === actor.account) };
  }

  async queue(caller: AccessCaller): ReturnType<AccessRequests['queue']> {
    return this.#newest((request) => request.account !== caller.actor.account && this.may(caller, request).length > 0);
  }

  #newest(where: (request: AccessRequest) => boolean): readonly AccessRequest[] {
    return [...this.requests.values()].filter(where).toReversed();
  }

  #isAdmin({ actor }: AccessCaller): boolean {
    return this.#deps.config.admin.groups.some((group) => actor.identity.groups.includes(group));
  }

  async find(caller: AccessCaller, id: string): Promise<AccessRequest> {
    const { identity, account } = caller.actor;
    const request = this.requests.get(id);
    const isAuditor = this.#deps.config.admin.auditors.some((group) => identity.groups.includes(group));
    const sees =
      request?.account === account ||
      isAuditor ||
      this.#isAdmin(caller) ||
      (request !== undefined && mayApprove(request.terms, identity));
    if (request === undefined || !sees) throw rejection('not_found', 'request_not_found', 'There is no such request.');
    return request;
  }

  may(caller: AccessCaller, request: AccessRequest): ReturnType<AccessRequests['may']> {
    const { account, identity } = caller.actor;
    const own = request.account === account;
    const approves = mayApprove(request.terms, identity);
    if (request.state === 'open') return own ? ['withdraw'] : approves ? ['approve', 'deny'] : [];
    return request.state === 'granted' && (own || approves || this.#isAdmin(caller)) ? ['end'] : [];
  }

  async background(): Promise<RequesterBackground> {
    return this.background_;
  }

  async request(caller: AccessCaller, order: Parameters<AccessRequests['request']>[1]): Promise<AccessRequest> {
    const role = this.#role(order.role);
    if (role === undefined) throw rejection('not_found', 'role_not_found', 'There is no such role.');
    if (!new RegExp(`^(?:${role.reason ?? '.*'})$`, 'v').test(order.reason))
      throw rejection('bad_request', 'reason_malformed', 'The reason must match what the role asks for.');
    const { account, identity } = caller.actor;
    const request: AccessRequest = {
      id: randomBytes(16).toString('base64url'),
      session: order.session ?? '',
      account,
      provider: 'corp',
      username: identity.username,
      knownAs: [identity.username],
      terms: termsOf(role),
      reason: order.reason,
      seconds: order.seconds,
      requestedAt: this.#now,
      openUntil: this.#now + 86_400,
      address: '203.0.113.7',
      state: 'open',
      decisions: [],
    };
    this.requests.set(request.id, request);
    return request;
  }

  async #decide(caller: AccessCaller, id: string, approved: boolean, reason = ''): Promise<AccessRequest> {
    const request = await this.find(caller, id);
    const { account, identity, proof } = caller.actor;
    if (request.account === account) throw rejection('forbidden', 'own_request', 'A colleague must decide.');
    if (!mayApprove(request.terms, identity)) throw rejection('forbidden', 'not_an_approver', 'Ask an approver.');
    const { freshness } = this.#deps.config.access;
    if (freshness !== 'off' && this.#now - (proof.authTime ?? 0) > freshness)
      throw rejection('unauthenticated', 'fresh_sign_in_needed', 'Sign in again, then decide.');
    if (request.state !== 'open') throw rejection('conflict', 'request_closed', 'A colleague was faster.');
    const decision: AccessDecision = { account, username: identity.username, at: this.#now, approved, reason };
    const beganAt = this.#now * 1000;
    const grant = { beganAt, endsAt: beganAt + request.seconds * 1000 };
    const decided: AccessRequest = { ...request, decisions: [...request.decisions, decision] };
    const next: AccessRequest = approved ? { ...decided, state: 'granted', grant } : { ...decided, state: 'denied' };
    this.requests.set(id, next);
    return next;
  }

  approve(caller: AccessCaller, id: string, reason?: string): Promise<AccessRequest> {
    return this.#decide(caller, id, true, reason);
  }

  deny(caller: AccessCaller, id: string, reason?: string): Promise<AccessRequest> {
    return this.#decide(caller, id, false, reason);
  }

  async end(caller: AccessCaller, id: string): ReturnType<AccessRequests['end']> {
    const request = await this.find(caller, id);
    const [may] = this.may(caller, request).filter((one) => one === 'end' || one === 'withdraw');
    if (may === undefined) throw rejection('conflict', 'grant_over', 'This request is over already.');
    const { grant } = request;
    if (grant === undefined) {
      const withdrawn = { ...request, state: 'withdrawn' } as const;
      this.requests.set(id, withdrawn);
      return { request: withdrawn };
    }
    const result = await this.#deps.guard.revoke({ target: { kind: 'grant', grant: id, session: request.session } });
    const ending = { endedAt: this.#now, ending: 'user', revocation: result.id } as const;
    const ended = { ...request, state: 'ended', grant: { ...grant, ...ending } } as const;
    this.requests.set(id, ended);
    return { request: ended, result };
  }

  async history(
    _caller: AccessCaller,
    { account, role, state }: Parameters<AccessRequests['history']>[1],
  ): ReturnType<AccessRequests['history']> {
    const requests = this.#newest(
      (request) =>
        (account === undefined || request.account === account) &&
        (role === undefined || request.terms.name === role) &&
        (state === undefined || request.state === state),
    );
    return { requests };
  }
}
