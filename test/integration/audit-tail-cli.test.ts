import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestInstance, type TestInstance } from '../support/instance.ts';
import { CliContext, type Open } from '../support/kubectl.ts';

const SOON = { timeout: 20_000, interval: 100 };
const LINE = /^\d\d:\d\d:\d\d {2}demo:alice {2}list pods -n default @demo {2}200 {2}127\.0\.0\.1$/m;

describe('portcullis audit tail', () => {
  let instance: TestInstance;
  let root: CliContext;
  let alice: CliContext;

  beforeAll(async () => {
    instance = await startTestInstance({ redis: true });
    root = new CliContext(instance, 'root');
    alice = new CliContext(instance, 'alice');
    for (const laptop of [root, alice]) {
      const { code, all } = await laptop.portcullis('login');
      if (code !== 0) throw new Error(all);
    }
  });
  afterAll(async () => {
    root.close();
    alice.close();
    await instance.stop();
  });

  async function tail(...args: readonly string[]): Promise<Open> {
    const open = root.open(instance.files.command, ['audit', 'tail', ...args]);
    await open.until(/following the audit log/);
    return open;
  }

  /** Repeats the request until the tail has shown it: the server checks once a second whether there is a subscriber. */
  async function shown(open: Open, pattern: RegExp, act: () => Promise<unknown>): Promise<void> {
    const seen = async (): Promise<string> => {
      await act();
      return open.output();
    };
    await expect.poll(seen, SOON).toMatch(pattern);
  }

  const listPods = () => alice.kubectl('get', 'pods');

  /** Ctrl-C. */
  async function interrupt(open: Open) {
    open.child.kill('SIGINT');
    return open.finished;
  }

  it('prints a line for each event, and exits 0 on Ctrl-C', async () => {
    const open = await tail('--user', 'demo:alice', '--verb', 'list', '--namespace', 'default');
    await shown(open, LINE, listPods);
    const { code, stdout, all } = await interrupt(open);
    expect(code, all).toBe(0);
    for (const line of stdout.trimEnd().split('\n')) expect(line).toMatch(LINE);
  });

  it('prints a line of JSON for each event with --output json', async () => {
    const open = await tail('--resource', 'pods', '--output', 'json');
    await shown(open, /"Event"/, listPods);
    const { code, stdout } = await interrupt(open);
    expect(code).toBe(0);
    const events = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { objectRef: { resource: string } });
    expect(new Set(events.map(({ objectRef }) => objectRef.resource))).toEqual(new Set(['pods']));
  });

  it('shows the rejected requests', async () => {
    const open = await tail('--refused');
    await shown(open, /demo:alice {2}get secrets\/x -n kube-system @demo {2}403 /, () =>
      alice.kubectl('get', 'secret', 'x', '-n', 'kube-system'),
    );
    expect(await interrupt(open)).toMatchObject({ code: 0 });
  });

  it('exits 3 for a user who may not read the audit log, and 2 for a malformed filter', async () => {
    expect(await alice.portcullis('audit', 'tail')).toMatchObject({ code: 3, stdout: '' });
    const wrong = await root.portcullis('audit', 'tail', '--event', 'no-such-event');
    expect(wrong).toMatchObject({ code: 2, stdout: '' });
    expect(wrong.stderr).toContain('event');
    expect((await root.portcullis('audit', 'tail', '--output', 'yaml')).code).toBe(2);
  });

  it('resumes where it was when the server is restarted, and reports that', async () => {
    const open = await tail('--code', '200');
    const json = await tail('--user', 'demo:alice');
    // No one has requested this path in the seconds before, so the server has polled and knows both subscribers.
    await shown(open, /demo:root {2}list pods/, () => root.kubectl('get', 'pods'));
    await shown(json, LINE, listPods);
    await instance.server.stop();
    await open.until(/the connection was lost; reconnecting/);
    await instance.restart();
    await open.until(/server-stopped/);
    await shown(json, /get pods\/web-0/, () => alice.kubectl('get', 'pod', 'web-0'));
    for (const one of [open, json]) expect(await interrupt(one)).toMatchObject({ code: 0 });
    expect(open.output() + json.output()).not.toContain('may be missing');
  });
});
