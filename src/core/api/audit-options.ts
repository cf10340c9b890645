/** The filters of the audit log as they are typed. Imports nothing, so that a parser of commands stays quick. */

/** Of `audit tail` and `audit query`: flags, and what they mean. */
export const AUDIT_OPTIONS = [
  ['--user <name>', 'of this Kubernetes username, also where another user acts as it'],
  ['--as <name>', 'done as this username by another user (impersonation); * for any'],
  ['--account <account>', 'of this account, PROVIDER/SUBJECT'],
  ['--session <id>', 'of this session, with those delegated from it'],
  ['--actor <name>', 'of delegated sessions in which this actor acts; * for any'],
  ['--grant <id>', 'of this access request, and what was done with its grant'],
  ['--cluster <name>', 'at this cluster'],
  ['--verb <verbs>', 'with this verb, or one of several: create,patch'],
  ['--resource <resources>', 'of this resource, or one of several: pods with its subresources, or pods/exec alone'],
  ['--namespace <name>', 'in this namespace, or in all at once'],
  ['--code <status>', 'with this HTTP status'],
  ['--refused', 'only rejected requests, whether Portcullis or the cluster rejected them'],
  ['--event <names>', 'only this event of Portcullis itself, or one of several: lock,unlock'],
] as const;
