/** In place of the controller manager, which signs client certificates in a cluster: what is approved is signed by the cluster's CA. */
import { setTimeout as pause } from 'node:timers/promises';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { PageShell } from '../support/page-shell.ts';

const NAME = 'kubernetes';

export class CsrSigner {
  readonly #shell: PageShell;
  readonly #folder: string;
  readonly #over = new AbortController();

  /**
   * @param shell with an administrator's credential
   * @param folder of its own, in which `shell` stands
   */
  constructor(shell: PageShell, folder: string) {
    this.#shell = shell;
    this.#folder = folder;
  }

  /** Makes the CA. @returns path of its certificate, PEM */
  async makeCa(): Promise<string> {
    await this.#shell.run(
      `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=${NAME} -keyout ca.key -out ca.crt`,
    );
    return join(this.#folder, 'ca.crt');
  }

  /** Signs whatever is approved, as long as it says, until it is stopped. */
  async watch(): Promise<void> {
    while (!this.#over.signal.aborted) {
      const all = await this.#shell.try('kubectl get csr -o json');
      if (all.code === 0) {
        const { items } = JSON.parse(all.stdout) as { items: readonly Csr[] };
        for (const csr of items.filter(isWaiting)) await this.#sign(csr);
      }
      await pause(200, undefined, { signal: this.#over.signal }).catch(() => undefined);
    }
  }

  stop(): void {
    this.#over.abort();
  }

  async #sign({ metadata, spec }: Csr): Promise<void> {
    const days = Math.ceil(spec.expirationSeconds / 86_400);
    await this.#shell.run(
      `printf %s '${spec.request}' | base64 -d > request.csr
printf 'extendedKeyUsage=clientAuth\\n' > extensions
openssl x509 -req -in request.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days ${days} -extfile extensions -out signed.crt`,
    );
    const certificate = (await readFile(join(this.#folder, 'signed.crt'))).toString('base64');
    const patch = JSON.stringify({ status: { certificate } });
    // Gone meanwhile: then it is for the page to say so.
    await this.#shell.try(`kubectl patch csr/${metadata.name} --subresource status --type merge -p '${patch}'`);
  }
}

interface Csr {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly request: string; readonly expirationSeconds: number };
  readonly status: { readonly certificate?: string; readonly conditions?: readonly { readonly type: string }[] };
}

const isWaiting = ({ status }: Csr): boolean =>
  status.certificate === undefined && (status.conditions ?? []).some(({ type }) => type === 'Approved');
