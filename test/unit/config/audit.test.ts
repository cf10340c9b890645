import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { errorsOf, loaded, placesOf, settings } from './sandbox.ts';

const withAudit = (audit: object): object => ({ ...settings(), audit });
const file = { type: 'file', path: 'audit.log' };
const webhook = { type: 'webhook', url: 'https://siem.example.com/audit' };

describe('sinks', () => {
  test('have their files below the configuration’s own folder, and their times in seconds', async () => {
    const { config, directory } = await loaded(
      withAudit({
        sinks: [
          { ...file, maxSizeMb: 100, rotateEvery: '24h', keep: 30, gzip: false, fsync: 'always' },
          {
            ...webhook,
            caFile: 'tls.crt',
            tokenFile: 'token',
            spoolDir: 'spool',
            spoolMaxMb: 64,
          },
          { type: 'stdout' },
        ],
      }),
    );
    const at = (name: string): string => join(directory, name);
    expect(config.audit.sinks).toEqual([
      {
        type: 'file',
        path: at('audit.log'),
        maxSizeMb: 100,
        rotateEvery: 86_400,
        keep: 30,
        gzip: false,
        fsync: 'always',
        rejectedPath: at('audit.log.rejected'),
      },
      {
        ...webhook,
        caFile: at('tls.crt'),
        tokenFile: at('token'),
        spoolDir: at('spool'),
        spoolMaxMb: 64,
      },
      { type: 'stdout' },
    ]);
  });

  const aboutAudit = ({ setting }: { readonly setting: string }): boolean => setting.startsWith('audit.');

  test('that hold a webhook without a spool, files that are soon deleted, or exec’s commands, are worth a warning', async () => {
    const { warnings } = await loaded(withAudit({ sinks: [webhook], execCommands: true }));
    expect(warnings.filter(aboutAudit).map(({ message }) => message)).toEqual([
      expect.stringContaining('audit.sinks[0].spoolDir'),
      expect.stringContaining('audit.execCommands'),
      expect.stringContaining('audit.writeAhead is changes, and no sink of audit.sinks is on this machine'),
    ]);
    const short = await loaded(withAudit({ sinks: [{ ...file, maxSizeMb: 1, keep: 2 }] }));
    expect(short.warnings.filter(aboutAudit)).toEqual([
      { setting: 'audit.sinks[0].keep', message: expect.stringContaining('Keep them for a time (90d)') },
    ]);
    const long = await loaded(withAudit({ sinks: [{ ...file, maxSizeMb: 1, keep: '90d' }] }));
    expect(long.warnings.filter(aboutAudit)).toEqual([]);
    const off = await loaded(withAudit({ writeAhead: 'off' }));
    expect(off.warnings).toContainEqual({
      setting: 'audit.writeAhead',
      message: expect.stringContaining('audit.writeAhead is off'),
    });
    const quiet = await loaded(withAudit({ sinks: [{ ...webhook, spoolDir: 'spool' }, file] }));
    expect(quiet.warnings.filter(aboutAudit)).toEqual([]);
  });

  test.each<[string, object, string]>([
    ['plain http beyond this machine', { ...webhook, url: 'http://siem.example.com/' }, 'url'],
    ['a password in the URL', { ...webhook, url: 'https://user:secret@siem.example.com/' }, 'url'],
    ['a query in the URL', { ...webhook, url: 'https://siem.example.com/?token=x' }, 'url'],
    ['a certificate without its key', { ...webhook, certFile: 'tls.crt' }, 'keyFile'],
    ['a key without its certificate', { ...webhook, keyFile: 'tls.key' }, 'certFile'],
    ['a token that is not there', { ...webhook, tokenFile: 'nowhere' }, 'tokenFile'],
    ['a spool where none can be made', { ...webhook, spoolDir: 'nowhere/spool' }, 'spoolDir'],
    ['a bound on no spool', { ...webhook, spoolMaxMb: 5 }, 'spoolDir'],
    ['no file of less than a mebibyte', { ...file, maxSizeMb: 0 }, 'maxSizeMb'],
    ['no file kept', { ...file, keep: 0 }, 'keep'],
    ['files kept for a moment', { ...file, keep: '30m' }, 'keep'],
    [
      'rejections where no file can be made',
      { ...file, rejectedPath: 'nowhere/rejected-requests.log' },
      'rejectedPath',
    ],
    ['another fsync', { ...file, fsync: true }, 'fsync'],
    ['settings of the other kind', { ...file, url: 'https://siem.example.com' }, 'url'],
  ])('refuse %s', async (_, sink, place) => {
    expect(await placesOf(withAudit({ sinks: [sink] }))).toEqual([`audit.sinks[0].${place}`]);
  });

  test('keep files by their number or for a time, and rejections beside them but for a device', async () => {
    const sinks = [
      { ...file, keep: '30d', rejectedPath: 'rejected-requests.log' },
      { ...file, path: '/dev/null', keep: '12h' },
    ];
    const { config, directory } = await loaded(withAudit({ sinks }));
    const [path, rejectedPath] = ['audit.log', 'rejected-requests.log'].map((name) => join(directory, name));
    expect(config.audit.sinks).toEqual([
      { type: 'file', path, keep: { seconds: 30 * 86_400 }, rejectedPath },
      { type: 'file', path: '/dev/null', keep: { seconds: 43_200 } },
    ]);
  });

  test('have a place each of their own', async () => {
    expect(await placesOf(withAudit({ sinks: [file, { type: 'stdout' }, file] }))).toEqual(['audit.sinks[2].path']);
    const others = { ...file, path: 'other.log' };
    for (const rejectedPath of ['audit.log', 'audit.log.rejected']) {
      expect(await placesOf(withAudit({ sinks: [file, { ...others, rejectedPath }] }))).toEqual([
        'audit.sinks[1].rejectedPath',
      ]);
    }
    expect(await placesOf(withAudit({ sinks: [file, { ...file, path: 'audit.log.rejected' }] }))).toEqual([
      'audit.sinks[1].path',
    ]);
    const spooled = { ...webhook, spoolDir: 'spool' };
    expect(await placesOf(withAudit({ sinks: [spooled, spooled] }))).toEqual(['audit.sinks[1].spoolDir']);
  });
});

describe('the policy', () => {
  const quiet = { level: 'None', verbs: ['get', 'head'], nonResourceURLs: ['/livez', '/livez/*', '/openapi/*'] };

  test('is taken as Kubernetes writes it', async () => {
    const policy = [
      quiet,
      { level: 'Metadata', users: ['corp:root'], nonResourceURLs: ['/version'], omitStages: ['RequestReceived'] },
      {
        level: 'Metadata',
        resources: [{ group: '', resources: ['secrets', 'pods/*'], resourceNames: ['db'] }],
        namespaces: ['', 'payments'],
      },
      { level: 'Metadata', userGroups: ['corp:dev'] },
    ];
    const { config } = await loaded(withAudit({ policy }));
    expect(config.audit.policy).toEqual(policy);
  });

  test.each<[string, object, string]>([
    ['bodies', { level: 'RequestResponse' }, 'level'],
    ['bodies of requests', { level: 'Request' }, 'level'],
    ['everything to be left out', { level: 'None' }, 'nonResourceURLs'],
    ['a user to be left out', { level: 'None', users: ['corp:alice'] }, 'nonResourceURLs'],
    [
      'reads of secrets to be left out',
      { level: 'None', verbs: ['get'], resources: [{ resources: ['secrets'] }] },
      'resources',
    ],
    ['a namespace to be left out', { ...quiet, namespaces: ['kube-system'] }, 'namespaces'],
    ['another path to be left out', { ...quiet, nonResourceURLs: ['/livez', '/metrics'] }, 'nonResourceURLs'],
    ['writes to be left out', { ...quiet, verbs: ['get', 'post'] }, 'verbs'],
    ['a stage to be left out', { level: 'Metadata', omitStages: ['ResponseComplete'] }, 'omitStages[0]'],
    ['a key that Kubernetes does not have', { level: 'Metadata', user: ['corp:alice'] }, 'user'],
  ])('refuses %s', async (_, rule, place) => {
    expect(await placesOf(withAudit({ policy: [{ level: 'Metadata', users: ['a'] }, rule] }))).toEqual([
      `audit.policy[1].${place}`,
    ]);
  });

  test('says what has to be another', async () => {
    const errors = await errorsOf(withAudit({ policy: [{ level: 'RequestResponse' }, { ...quiet, verbs: [] }] }));
    expect(errors.map(({ expected }) => expected)).toEqual([
      expect.stringContaining('bodies are never recorded'),
      expect.stringContaining('[get, head]'),
    ]);
  });
});
