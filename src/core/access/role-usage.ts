/** What is usual for one role, over all replicas. */
export interface RoleUsage {
  /** The largest number of grants that one user got within a day. */
  readonly grantsOfOneUser: number;
  /** Within a week. */
  readonly approvals: number;
  /** Different accounts whose approvals these were. */
  readonly approvers: number;
}
