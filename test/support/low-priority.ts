/** For tests that ask nothing of any time limit, beside those that do. */
import { setPriority } from 'node:os';

/** A third of what the others have. The lowest gets next to nothing beside another program, and the run never ends. */
const LOWER = 5;

setPriority(LOWER);
