/** `kubernetes-mcp-server`, as a package of npm brings it, and a small client of the Model Context Protocol for its two transports. */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { request } from 'undici';
import { CACHE, exists, fileOfPackage } from '../support/npm-archive.ts';

/** docs/clients.md and docs/agents.md name the version. */
export const MCP_SERVER_VERSION = '0.0.67';
const PROTOCOL = '2025-06-18';

const PLATFORM = {
  name: 'kubernetes-mcp-server-linux-amd64',
  version: MCP_SERVER_VERSION,
  integrity: 'VW5wRdetbJmfCHkCEBA808bgJJRL1GCfkSZ17J+SJJuNiKcvjibcGR32272WKtwd3Td4ZVrOPomExKgCNE16jA==',
};

/** @returns the path of the program */
async function mcpServerProgram(): Promise<string> {
  const program = join(CACHE, `kubernetes-mcp-server-${MCP_SERVER_VERSION}`);
  if (await exists(program)) return program;
  await mkdir(CACHE, { recursive: true });
  // Written next to it first: another test may be looking for the same file.
  const partial = `${program}.${randomUUID()}`;
  await writeFile(partial, await fileOfPackage(PLATFORM, `package/bin/${PLATFORM.name}`));
  await chmod(partial, 0o755);
  await rename(partial, program);
  return program;
}

interface Answer {
  readonly id?: number;
  readonly result?: unknown;
  readonly error?: { readonly message: string };
}

export interface ToolResult {
  readonly isError: boolean;
  readonly text: string;
}

/** One session with an MCP server. */
export interface McpClient {
  tools(): Promise<readonly string[]>;
  call(tool: string, args?: Readonly<Record<string, unknown>>): Promise<ToolResult>;
  close(): void;
}

type Ask = (method: string, params: object) => Promise<unknown>;

/** @param tell sends what has no response */
async function session(ask: Ask, tell: (method: string) => void, close: () => void): Promise<McpClient> {
  await ask('initialize', {
    protocolVersion: PROTOCOL,
    capabilities: {},
    clientInfo: { name: 'portcullis-test', version: '1' },
  });
  tell('notifications/initialized');
  return {
    tools: async () =>
      ((await ask('tools/list', {})) as { readonly tools: readonly { readonly name: string }[] }).tools.map(
        ({ name }) => name,
      ),
    call: async (name, args = {}) => {
      const { isError, content } = (await ask('tools/call', { name, arguments: args })) as {
        readonly isError?: boolean;
        readonly content: readonly { readonly text?: string }[];
      };
      return { isError: isError === true, text: content.map(({ text }) => text ?? '').join('\n') };
    },
    close,
  };
}

const resultOf = ({ result, error }: Answer): unknown => {
  if (error !== undefined) throw new Error(error.message);
  return result;
};

/** Starts the program as an agent does, and speaks with it over its standard input and output. */
export async function mcpOverStdio(args: readonly string[], env: NodeJS.ProcessEnv): Promise<McpClient> {
  const child = spawn(await mcpServerProgram(), args, { env, stdio: ['pipe', 'pipe', 'ignore'] });
  const waiting = new Map<number, PromiseWithResolvers<Answer>>();
  createInterface({ input: child.stdout }).on('line', (line) => {
    const answer = JSON.parse(line) as Answer;
    waiting.get(answer.id ?? 0)?.resolve(answer);
  });
  child.once('close', (code) => {
    for (const each of waiting.values()) each.reject(new Error(`the MCP server has ended with ${code}`));
  });
  const send = (message: object): boolean => child.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
  let last = 0;
  const ask: Ask = async (method, params) => {
    last += 1;
    const answer = Promise.withResolvers<Answer>();
    waiting.set(last, answer);
    send({ id: last, method, params });
    return resultOf(await answer.promise);
  };
  return session(
    ask,
    (method) => send({ method }),
    () => void child.kill(),
  );
}

export interface McpOverHttp {
  /** `http://127.0.0.1:…` */
  readonly url: string;
  /** What it logs, at the level that its arguments say. */
  log(): string;
  close(): Promise<void>;
}

/** Starts it as a server for several users; ready when it answers. */
export async function startMcpOverHttp(port: number, args: readonly string[]): Promise<McpOverHttp> {
  const more = ['--port', String(port), '--bind-address', '127.0.0.1', '--stateless'];
  const child = spawn(await mcpServerProgram(), [...more, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (part) => (text += part));
  const url = `http://127.0.0.1:${port}`;
  const isUp = (): Promise<boolean> =>
    request(`${url}/healthz`).then(
      ({ statusCode }) => statusCode === 200,
      () => false,
    );
  while (!(await isUp())) {
    if (child.exitCode !== null) throw new Error(`the MCP server has ended: ${text}`);
    await new Promise((resolve) => {
      setTimeout(resolve, 50);
    });
  }
  return {
    url,
    log: () => text,
    close: async () => {
      const closed = once(child, 'close');
      child.kill();
      await closed;
    },
  };
}

/** The streamable HTTP transport, as a user's own MCP client has it. @throws Error with the status and the body of a rejection */
export function mcpOverHttp(url: string, token: string): Promise<McpClient> {
  let last = 0;
  const post = async (message: object): Promise<string> => {
    const { statusCode, body } = await request(`${url}/mcp`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${token}`,
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        'mcp-protocol-version': PROTOCOL,
      },
      body: JSON.stringify({ jsonrpc: '2.0', ...message }),
    });
    const text = await body.text();
    if (statusCode >= 300) throw new Error(`HTTP ${statusCode}: ${text}`);
    return text;
  };
  const ask: Ask = async (method, params) => {
    last += 1;
    const text = await post({ id: last, method, params });
    // What it logs meanwhile comes as further messages of the same response.
    const messages = [...text.matchAll(/^data: (.*)$/gm)].map(([, data = '']) => JSON.parse(data) as Answer);
    const answer = messages.find(({ id }) => id === last);
    if (answer === undefined) throw new Error(`no response to ${method}: ${text}`);
    return resultOf(answer);
  };
  return session(
    ask,
    (method) => void post({ method }).catch(() => undefined),
    () => undefined,
  );
}
