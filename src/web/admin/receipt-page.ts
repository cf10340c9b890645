/**
 * `/admin/revocations/:id`: a revocation's receipt.
 */
import { AdminError } from '../../admin/problem.ts';
import { auditRead, sendAdminPage, type AdminPageContext } from './admin-frame.ts';
import { receiptBody } from './receipt-body.ts';

/** While a proof is on its way it takes seconds at most; what is late then is late by a replica's or a follower's doing. */
const SOON_MS = 15_000;

/** Shows what is known of it, on whichever replica. @throws AdminError `revocation_not_found` */
export async function showReceipt(context: AdminPageContext): Promise<void> {
  const { service, deps, req } = context;
  const id = String(req.params['id']);
  const answer = await service.results.find(id);
  if (answer === undefined) {
    const words = 'No revocation of this id is known from the last ten minutes. The record has it for good.';
    throw new AdminError('revocation_not_found', 'not_found', words);
  }
  auditRead(context, 'revocation', { revocation: answer.id });
  const age = deps.clock.now() - Date.parse(answer.at);
  sendAdminPage(context, {
    title: answer.complete ? 'Revocation complete' : 'Revocation under way',
    section: 'sessions',
    body: receiptBody(answer, `/admin/api/v1/revocations/${encodeURIComponent(answer.id)}`, context.mayAct),
    ...(answer.complete ? {} : { scripts: ['receipt.js'], refreshSeconds: age < SOON_MS ? 1 : 5 }),
  });
}
