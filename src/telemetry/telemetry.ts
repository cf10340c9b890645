/**
 * Telemetry: metrics, health and the operator's log.
 *
 * Owns the Prometheus registry with every metric's name, the health checks behind `/livez` and `/readyz`, the pino
 * logger and its redaction. Must not know what the numbers mean to the modules that count, or any user: labels are
 * bounded, and never a user, a path or a resource's name.
 */
export { createHealth, type Health, type HealthCheck, type HealthReport } from './health.ts';
export { createLogger, type Logger, type LogLevel } from './logger.ts';
export { createMetrics } from './metrics.ts';
export { type MetricDescription, type Metrics } from './types.ts';
export { createOpsListener } from './ops-listener.ts';
