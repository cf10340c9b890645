/** This program's version, and the check that a server still accepts it. */
import manifest from '../../../package.json' with { type: 'json' };
import { cliError } from '../errors.ts';
import { plainText } from '../terminal/plain-text.ts';

export const VERSION: string = manifest.version;

/** `User-Agent` of every request. */
export const USER_AGENT = `portcullis/${VERSION} (${process.platform}; ${process.arch})`;

/**
 * @param minimum `minimumCli` of discovery; absent or unreadable: every version is accepted
 * @throws AppError `bad_request` when this program is older
 */
export function checkMinimumVersion(minimum: string | undefined, version: string = VERSION): void {
  const required = numbersOf(minimum ?? '');
  const installed = numbersOf(version);
  if (required === undefined || installed === undefined) return;
  for (const [index, part] of required.entries()) {
    const installedPart = installed[index] ?? 0;
    if (installedPart > part) return;
    if (installedPart < part) {
      throw cliError(
        'bad_request',
        `This is portcullis ${version}, and the server needs ${plainText(minimum ?? '', 40)} or newer.`,
        'upgrade portcullis from where you installed it, then run the command again',
        { reason: 'cli_too_old' },
      );
    }
  }
}

/** Returns major, minor and patch of a semantic version; a pre-release counts as its release. */
function numbersOf(version: string): readonly number[] | undefined {
  const found = /^v?(\d{1,6})\.(\d{1,6})\.(\d{1,6})/.exec(version);
  return found === null ? undefined : found.slice(1).map(Number);
}
