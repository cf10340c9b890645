/** A user's desktop as far as secrets go: a D-Bus session, and gnome-keyring as its Secret Service. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { bareEnvironment } from './bare-environment.ts';

export class SecretService {
  readonly home = mkdtempSync(join(tmpdir(), 'portcullis-keyring-'));
  address = '';
  #bus: ChildProcess | undefined;
  #keyring: ChildProcess | undefined;

  /** Starts the bus and an unlocked keyring. */
  async start(): Promise<void> {
    const bus = spawn('dbus-daemon', ['--session', '--nofork', '--print-address'], {
      env: this.environment,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    this.#bus = bus;
    const [address] = (await once(createInterface(bus.stdout), 'line')) as [string];
    this.address = address;
    await this.unlock();
  }

  /** Starts the keyring with its password, as a user's login does. */
  async unlock(): Promise<void> {
    await this.#startKeyring(['--unlock'], 'the password of the login');
  }

  /** Starts it without, as on a machine that is reached over SSH. */
  async lock(): Promise<void> {
    await this.stopKeyring();
    await this.#startKeyring([], '');
  }

  /** Makes it hang, and run again. */
  freeze(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#keyring?.kill(signal);
  }

  async stopKeyring(): Promise<void> {
    await ended(this.#keyring);
    this.#keyring = undefined;
  }

  async stop(): Promise<void> {
    await this.stopKeyring();
    await ended(this.#bus);
    rmSync(this.home, { recursive: true, force: true });
  }

  /** Without a display, so that no dialog can ask for the password. */
  private get environment(): NodeJS.ProcessEnv {
    return {
      ...bareEnvironment(),
      HOME: this.home,
      XDG_DATA_HOME: join(this.home, 'share'),
      ...(this.address === '' ? {} : { DBUS_SESSION_BUS_ADDRESS: this.address }),
    };
  }

  async #startKeyring(options: readonly string[], password: string): Promise<void> {
    const keyring = spawn('gnome-keyring-daemon', ['--foreground', '--components=secrets', ...options], {
      env: this.environment,
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    keyring.stdin.end(password);
    this.#keyring = keyring;
    // It prints the folder of its control socket once it has its name on the bus.
    await once(keyring.stdout, 'data');
  }
}

async function ended(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}
