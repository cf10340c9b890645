/**
 * Telemetry: metrics, health and the operator's log.
 *
 * Owns the Prometheus registry with every metric's name, the health checks behind `/livez` and `/readyz`, the pino
 * logger and its redaction. Must not know what the numbers mean to the modules that count, or any user: labels are
 * bounded, and never a user, a path or a resource's name.
 *
 * - `metrics.ts`: all metrics, from `request-`, `session-`, `access-`, `revocation-`, `audit-`, `validity-` and
 *   `component-metrics.ts`; `types.ts`: their interface; `instruments.ts`, `labels.ts`, `exposition.ts`:
 *   instruments, bounded labels, output formats
 * - `health.ts`: health checks; `ops-listener.ts`: the HTTP server for the platform
 * - `logger.ts`, `redaction.ts`: the operator's log
 */
export { createHealth, type Health, type HealthCheck, type HealthReport } from './health.ts';
export { createLogger, type Logger, type LogLevel } from './logger.ts';
export { createMetrics } from './metrics.ts';
export { type MetricDescription, type Metrics } from './types.ts';
export { createOpsListener } from './ops-listener.ts';
