/** A gate in a process of its own, so that what it holds in memory is its own alone. Spoken to over IPC. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { signIn, startPlane } from '../../support/data-plane.ts';

setFlagsFromString('--expose_gc');
const collect = runInNewContext('gc') as () => void;

const [server = '', ca = ''] = process.argv.slice(2);
const plane = await startPlane({ cluster: { server, ca } });
const user = await signIn(plane);

process.on('message', () => {
  // What is garbage already is not held: the question is what the gate cannot let go of.
  collect();
  process.send?.({ rss: process.memoryUsage.rss(), inFlight: plane.guard.inFlight });
});
process.send?.({ port: plane.port, ca: plane.ca, user });
