/** `npm run demo`: starts the demo and says what to type, or tells the whole story by itself (`--tour`). */
import { rm } from 'node:fs/promises';
import { performance } from 'node:perf_hooks';
import { DEFAULT_DIRECTORY, DEFAULT_PORT_BASE, DemoError, monitoringPort } from './demo.ts';
import type { DemoOptions, RunningDemo } from './launch.ts';
import { answer, forgetAnswers } from './lessons/answers.ts';
import type { Lesson } from './lessons/lesson.ts';
import { lessonOf } from './lessons/lessons.ts';
import { isTaken, takeFolder } from './lessons/one-lesson.ts';
import { watchLesson } from './lessons/watch.ts';
import { startMonitoring, type Monitoring } from './monitoring.ts';
import { secondAct } from './tour/second-act.ts';
import { ClaimFailed, Story } from './tour/story.ts';
import { tour } from './tour/tour.ts';
import { welcome } from './welcome.ts';
import { defined } from '../src/core/defined.ts';

export interface DemoArguments {
  readonly dir?: string;
  readonly portBase?: string;
  readonly redis?: string;
  readonly kubeconfig?: string;
  readonly tour?: boolean;
  readonly withMonitoring?: boolean;
  /** Its number, as typed. */
  readonly lesson?: string;
  /** `QUESTION=ANSWER`, of a lesson that runs in another terminal. */
  readonly answer?: readonly string[];
}

/** @returns exit status: 0, or 1 when something did not hold, 2 for wrong use */
export async function runDemo(args: DemoArguments): Promise<number> {
  const portBase = Number(args.portBase ?? DEFAULT_PORT_BASE);
  if (!Number.isInteger(portBase) || portBase < 1024 || portBase > 65_000) {
    console.error(`--port-base wants a whole number from 1024 to 65000, not ${String(args.portBase)}.`);
    return 2;
  }
  if (args.tour === true && args.withMonitoring === true) {
    console.error('--tour ends by itself, so there is nothing to monitor: leave out --tour or --with-monitoring.');
    return 2;
  }
  const lesson = args.lesson === undefined ? undefined : lessonOf(args.lesson);
  const misuse = typeof lesson === 'string' ? lesson : lessonMisuse(args);
  if (misuse !== undefined) {
    console.error(misuse);
    return 2;
  }
  const options: DemoOptions = {
    directory: args.dir ?? DEFAULT_DIRECTORY,
    portBase,
    ...defined({ redis: args.redis, kubeconfig: args.kubeconfig }),
  };
  try {
    if (typeof lesson === 'object') return await teach(options, lesson, args.answer);
    return args.tour === true ? await runTour(options) : await runUntilStopped(options, args.withMonitoring === true);
  } catch (error) {
    if (!(error instanceof DemoError)) throw error;
    console.error(error.message);
    return 1;
  }
}

/** Anyone who only answers a question, or is told that a lesson runs, does not wait until the whole server is loaded. */
const startDemo = async (options: DemoOptions): Promise<RunningDemo> =>
  (await import('./launch.ts')).startDemo(options);

/** @returns a message about options that exclude each other */
function lessonMisuse({
  lesson,
  answer: answers,
  tour: told,
  kubeconfig,
  withMonitoring,
}: DemoArguments): string | undefined {
  if (lesson === undefined) return answers === undefined ? undefined : '--answer belongs to a lesson: add --lesson N.';
  if (told === true || withMonitoring === true) return '--lesson runs alone: leave out --tour and --with-monitoring.';
  // A lesson makes roles and ends sessions: do not try it on a cluster that is in use.
  return kubeconfig === undefined ? undefined : '--lesson has a cluster of its own: leave out --kubeconfig.';
}

async function teach(options: DemoOptions, lesson: Lesson, answers: readonly string[] | undefined): Promise<number> {
  const say = (line: string): void => console.log(line);
  if (answers !== undefined) {
    if (!(await isTaken(options.directory)))
      throw new DemoError(`No lesson runs in ${options.directory}: start it first.`);
    return await answer(options.directory, lesson, { pairs: answers, say });
  }
  const release = await takeFolder(options.directory);
  const stop = new AbortController();
  let demo: RunningDemo | undefined;
  try {
    // A scene needs what the embedded cluster has from the start, and a bare API server has not.
    demo = await startDemo({ ...options, embedded: true });
    process.once('SIGINT', () => stop.abort());
    process.once('SIGTERM', () => stop.abort());
    await forgetAnswers(options.directory, lesson);
    return await watchLesson({ demo, lesson, stopped: stop.signal, say });
  } finally {
    await demo?.stop();
    await release();
  }
}

async function runTour(options: DemoOptions): Promise<number> {
  const begun = performance.now();
  // Last time's sign-ins would make the story start in its middle.
  await rm(`${options.directory}/cache`, { recursive: true, force: true });
  const demo = await startDemo(options);
  const story = new Story(process.stdout);
  try {
    console.log(
      `Portcullis in front of ${demo.cluster.description}. Every line with a tick was checked before it was printed.`,
    );
    await tour(demo, story);
    // Its ports are the first replica's in the second act.
    await demo.server.stop();
    await secondAct(demo, story, options.portBase);
    console.log(`\n${story.claims} claims held, in ${((performance.now() - begun) / 1000).toFixed(1)} s.`);
    return 0;
  } catch (error) {
    if (!(error instanceof ClaimFailed)) throw error;
    console.error(`\n   ✗ ${error.message}\n\nThe tour ends here: this did not hold.`);
    return 1;
  } finally {
    await demo.stop();
  }
}

async function runUntilStopped(options: DemoOptions, withMonitoring: boolean): Promise<number> {
  const demo = await startDemo(options);
  const monitoring = withMonitoring ? await monitor(demo, options) : undefined;
  console.log(welcome(demo));
  if (withMonitoring) console.log(whereToLook(monitoring));
  await new Promise<void>((resolve) => {
    process.once('SIGINT', resolve);
    process.once('SIGTERM', resolve);
  });
  console.log('\nStopping …');
  await monitoring?.stop();
  await demo.stop();
  return 0;
}

/** A demo without Prometheus is still a demo, so an error here is only reported. */
async function monitor(demo: RunningDemo, { directory, portBase }: DemoOptions): Promise<Monitoring | undefined> {
  const targets = [new URL(demo.urls.ops).host];
  try {
    return await startMonitoring({ directory, port: monitoringPort(portBase), targets });
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    return undefined;
  }
}

function whereToLook(monitoring: Monitoring | undefined): string {
  if (monitoring === undefined) {
    return '\nPrometheus does not run. On Debian: apt-get install --no-install-recommends prometheus';
  }
  const graph = (query: string): string =>
    `${monitoring.url}/graph?g0.expr=${encodeURIComponent(query)}&g0.tab=0&g0.range_input=15m`;
  return `
Prometheus watches it:  ${monitoring.url}
  alerts (the demo's certificates last a week, so their alert is on):  ${monitoring.url}/alerts
  requests:  ${graph('sum by (verb, code) (rate(portcullis_requests_total[1m]))')}
  streams:   ${graph('portcullis_streams_open')}
The dashboards for Grafana are in deploy/grafana/, what each number means in docs/monitoring.md.`;
}
