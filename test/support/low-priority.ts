/** For tests that ask nothing of any time limit, beside those that do. */
import { constants, setPriority } from 'node:os';

setPriority(constants.priority.PRIORITY_LOW);
