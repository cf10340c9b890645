/** What deploy/ holds for Prometheus and Grafana, read as those read it. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));
export const RULES_FILE = `${ROOT}deploy/prometheus/rules.yaml`;
const TESTS = `${ROOT}deploy/prometheus/tests`;
const GRAFANA = `${ROOT}deploy/grafana`;

export interface Rule {
  readonly record?: string;
  readonly alert?: string;
  readonly expr: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

interface RuleTest {
  readonly alert_rule_test?: readonly {
    readonly alertname: string;
    readonly exp_alerts?: readonly { readonly exp_labels: Readonly<Record<string, string>> }[];
  }[];
}

export interface Panel {
  readonly type: string;
  readonly title: string;
  readonly description: string;
  readonly links: readonly { readonly url: string }[];
  readonly fieldConfig: { readonly defaults: { readonly unit: string } };
  readonly gridPos: Readonly<Record<'x' | 'y' | 'w' | 'h', number>>;
  readonly targets: readonly { readonly expr: string; readonly legendFormat: string }[];
}

export interface Dashboard {
  readonly file: string;
  readonly uid: string;
  readonly title: string;
  readonly description: string;
  readonly annotations: { readonly list: readonly { readonly expr: string }[] };
  readonly panels: readonly Panel[];
}

export function deployedRules(): readonly Rule[] {
  const { groups } = parse(readFileSync(RULES_FILE, 'utf8')) as { groups: readonly { rules: readonly Rule[] }[] };
  return groups.flatMap(({ rules }) => rules);
}

export const ruleTestFiles = (): readonly string[] =>
  readdirSync(TESTS)
    .filter((name) => name.endsWith('.yaml'))
    .map((name) => `${TESTS}/${name}`);

/** Each assertion about an alert, and whether the alert is to fire in it. */
export const alertCases = (): readonly { readonly alert: string; readonly fires: boolean }[] =>
  ruleTestFiles()
    .flatMap((file) => (parse(readFileSync(file, 'utf8')) as { tests: readonly RuleTest[] }).tests)
    .flatMap((test) => test.alert_rule_test ?? [])
    .map(({ alertname, exp_alerts = [] }) => ({ alert: alertname, fires: exp_alerts.length > 0 }));

export const dashboards = (): readonly Dashboard[] =>
  readdirSync(GRAFANA)
    .filter((name) => name.endsWith('.json'))
    .map((file) => ({ file, ...(JSON.parse(readFileSync(`${GRAFANA}/${file}`, 'utf8')) as Omit<Dashboard, 'file'>) }));

/** As Grafana sends it, with its variables filled in. */
export const filledIn = (expr: string, interval: string): string =>
  expr.replaceAll('$__rate_interval', interval).replaceAll('$job', '.+');
