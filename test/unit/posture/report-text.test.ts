import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { reportData, reportText } from '../../../src/posture/report-text.ts';
import type { Report, Reported } from '../../../src/posture/rules/report.ts';

const ASKED = {
  server: 'https://portcullis.example.com',
  cluster: 'prod',
  context: 'prod@portcullis.example.com',
  at: '2026-11-25T12:00:00.000Z',
};

const finding = (facts: Partial<Reported> = {}): Reported => ({
  rule: 'legacy-token',
  severity: 'high',
  title: 'Long-lived service account token',
  namespace: 'build',
  object: 'Secret/ci-token',
  evidence: 'a token of ServiceAccount/ci that never expires, made 2023-04-11, no recorded use',
  mend: ['kubectl delete secret/ci-token -n build'],
  page: 'posture/legacy-token.md',
  ...facts,
});

const reportWith = (facts: Partial<Report>): Report => ({
  findings: [],
  waived: [],
  unjudged: [],
  unused: [],
  ...facts,
});

describe('a report as text', () => {
  test('of nothing is one line', () => {
    expect(reportText(reportWith({}), ASKED)).toBe(
      'prod: 0 high, 0 medium, 0 low; 0 waived; 17 of 17 rules evaluated\n',
    );
  });

  test('has the evidence whole, also where the terminal cuts its column', () => {
    const text = reportText(reportWith({ findings: [finding()] }), ASKED, 80);
    const [, row] = text.split('\n');
    expect(row?.length).toBeLessThanOrEqual(80);
    expect(row).toContain('…');
    expect(text).toContain(`\n# '${finding().evidence}'\n`);
  });

  test('has nothing that a terminal might obey, and a line for each line of a command', () => {
    const harmful = '\u001b[2Jx\r\ny\u202e\u2028z';
    const bad = finding({ namespace: harmful, object: harmful, evidence: harmful, mend: [`kubectl ${harmful}`] });
    const why = { rule: 'legacy-token', severity: 'high', state: 'not_readable', why: harmful } as const;
    const unused = { rule: 'legacy-token', object: harmful, reason: 'r', until: '2026-12-31' } as const;
    const clean = reportText(
      reportWith({ findings: [finding()], unjudged: [{ ...why, why: 'w' }], unused: [{ ...unused, object: 'o' }] }),
      ASKED,
    );
    const text = reportText(reportWith({ findings: [bad], unjudged: [why], unused: [unused] }), ASKED);
    expect(text).not.toMatch(/(?!\n)\p{Cc}|\p{Cf}|\p{Zl}/u);
    expect(text.split('\n')).toHaveLength(clean.split('\n').length);
  });

  test('never has a part of a command, and what follows stays what it is', () => {
    const long = `kubectl patch x -p '${'y'.repeat(70_000)}'`;
    const after = finding({ object: "RoleBinding/'; echo PWNED #" });
    const text = reportText(reportWith({ findings: [finding({ mend: [long] }), after] }), ASKED);
    expect(text).toContain("# 'the command is too long for one line of a terminal: take it from --output json");
    expect(text).not.toContain('kubectl patch');
    const block = text.slice(text.indexOf('\n# ') + 1, text.lastIndexOf('\n\n'));
    for (const line of block.split('\n')) {
      expect(Buffer.byteLength(line)).toBeLessThanOrEqual(1000);
      expect(line).toMatch(/^$|^kubectl delete secret\/ci-token -n build$|^# '(?:[^'\\]|'\\'')*'$/);
    }
  });

  test('names the context that the commands are for', () => {
    expect(reportText(reportWith({ findings: [finding()] }), ASKED)).toContain(
      "# 'fixes, for the context that portcullis kubeconfig writes: prod@portcullis.example.com'\n",
    );
  });

  test('never counts none of a severity whose rules were not evaluated', () => {
    const blind = { rule: 'legacy-token', severity: 'high', state: 'not_readable', why: 'secrets (403)' } as const;
    const hidden = { rule: 'api-server-audit', severity: 'medium', state: 'not_visible', why: 'managed' } as const;
    const lastLine = (report: Report): string => reportText(report, ASKED).trimEnd().split('\n').at(-1) ?? '';
    expect(lastLine(reportWith({ unjudged: [blind, hidden] }))).toContain('prod: high unknown, medium unknown, 0 low;');
    const found = [finding(), finding({ severity: 'medium' })];
    expect(lastLine(reportWith({ findings: found, unjudged: [blind] }))).toContain(
      ': at least 1 high, 1 medium, 0 low;',
    );
    const waiver = { rule: 'proxy-account', object: '*', reason: 'INC-1', until: '2999-12-31' } as const;
    const waived = { rule: 'proxy-account', severity: 'high', state: 'needs_option', why: 'w', waiver } as const;
    expect(lastLine(reportWith({ unjudged: [waived] }))).toContain(': 0 high,');
  });

  test('says what was not judged, and counts it', () => {
    const unjudged = [
      { rule: 'legacy-token', severity: 'high', state: 'not_readable', why: 'secrets (403 Forbidden)' },
      { rule: 'api-server-audit', severity: 'medium', state: 'not_visible', why: 'managed' },
      { rule: 'proxy-account', severity: 'high', state: 'needs_option', why: 'give --proxy-account' },
    ] as const;
    const text = reportText(reportWith({ unjudged }), ASKED);
    expect(text).toMatch(/^RULE NOT EVALUATED +SEVERITY +STATE +REASON$/m);
    expect(text).toMatch(/^legacy-token +high +not readable +secrets \(403 Forbidden\)$/m);
    expect(text).toMatch(/14 of 17 rules evaluated, 1 not readable, 1 without an option, 1 not visible\n$/);
    expect(text).toMatch(/^proxy-account +high +needs an option +give --proxy-account$/m);
  });
});

describe('a report for programs', () => {
  test('has each rule with its state, and what was waived with its reason', () => {
    const waived = [{ ...finding(), reason: 'INC-1', until: '2026-12-31' }];
    const data = parse(JSON.stringify(reportData(reportWith({ waived }), ASKED))) as Record<string, unknown>;
    expect(data).toMatchObject({ cluster: 'prod', summary: { high: 0, waived: 1 }, waived: [{ reason: 'INC-1' }] });
    expect(data['rules']).toContainEqual(expect.objectContaining({ id: 'legacy-token', state: 'judged' }));
  });
});
