import { statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/**
 * About how many seconds a file takes on two cores that are busy with the others; what is not here takes `OTHERS` or less. Some work all the
 * time and some wait for leases to run out: of those, few stand next to each other.
 */
export const SECONDS: Readonly<Record<string, number>> = {
  'e2e/lessons': 100,
  'chaos/replicas': 90,
  'security/cross-site': 85,
  'integration/unbound': 80,
  'chaos/redis': 70,
  'e2e/tour': 60,
  'integration/refused-sign-in': 59,
  'conformance/redis-sentinel': 58,
  'integration/versions-rolling': 57,
  'integration/deploy-image': 56,
  'chaos/failover': 55,
  'security/canary': 54,
  'integration/device': 53,
  'integration/versions-fence': 52,
  'conformance/redis-least': 51,
  'model/model': 50,
  'chaos/sign-ins': 49,
  'unit/audit/verify/verify.property': 20,
  'unit/audit/sinks/webhook': 10,
};
const OTHERS: Readonly<Record<string, number>> = { e2e: 30, integration: 5, security: 5, conformance: 5, unit: 1 };

const TESTS = fileURLToPath(new URL('..', import.meta.url));

function secondsOf({ moduleId, project }: TestSpecification): number {
  const name = moduleId.replace(TESTS, '').replace(/\.test\.ts$/, '');
  return SECONDS[name] ?? OTHERS[project.name] ?? 0;
}

/** Begins with the files that take longest, whatever their kind, so that none of them is left over when the others are done. */
export class LongestFirst extends BaseSequencer {
  override sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sizes = new Map(files.map(({ moduleId }) => [moduleId, statSync(moduleId).size]));
    const orderOf = ({ project }: TestSpecification): number => project.config.sequence.groupOrder;
    const sizeOf = ({ moduleId }: TestSpecification): number => sizes.get(moduleId) ?? 0;
    return Promise.resolve(
      files.toSorted((a, b) => orderOf(a) - orderOf(b) || secondsOf(b) - secondsOf(a) || sizeOf(b) - sizeOf(a)),
    );
  }
}
