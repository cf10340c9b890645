/** A server in its own process, so that its memory can be measured, and its turns taken, separately. It is controlled over IPC. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { signIn, startPlane } from '../../support/data-plane.ts';

setFlagsFromString('--expose_gc');
const collect = runInNewContext('gc') as () => void;

const [server = '', ca = ''] = process.argv.slice(2);
const plane = await startPlane({ cluster: { server, ca } });
const user = await signIn(plane);
const warnings: string[] = [];
process.on('warning', ({ name }) => void warnings.push(name));

process.on('message', () => {
  // Garbage is collected first: the test measures the memory that the server cannot release.
  collect();
  process.send?.({ rss: process.memoryUsage.rss(), inFlight: plane.guard.inFlight, warnings });
});
process.send?.({ port: plane.port, ca: plane.ca, user });
