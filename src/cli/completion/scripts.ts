/**
 * The shells' side of completion. Each script calls `portcullis __complete -- ARGUMENTS…`, whose output has the format
 * of cobra's `__complete`: one line for each candidate, with a tab and its description; then a colon and the number
 * of what the shell offers in addition (0 files, 16 folders, 4 nothing).
 */
import type { Completion } from './complete.ts';

const DIRECTIVE = { files: 0, nothing: 4, folders: 16 } as const;

/** Writes the format of cobra, which kubectl reads too. */
export function formatCompletion({ candidates, alsoOffer }: Completion): string {
  const lines = candidates.map(({ value, description }) => (description === '' ? value : `${value}\t${description}`));
  return `${[...lines, `:${DIRECTIVE[alsoOffer]}`].join('\n')}\n`;
}

// The line is split at blanks, because bash itself also splits at = and :, and then replaces only the text after
// the last of them. `compgen -W` is not used: it would run `$( )` in a candidate.
const BASH = `# bash completion for portcullis. For every new shell, in ~/.bashrc:
#   source <(portcullis completion bash)
_portcullis() {
  local line=\${COMP_LINE:0:COMP_POINT} current prefix value description besides=4
  local -a typed
  COMPREPLY=()
  read -r -a typed <<<"$line"
  case $line in *[[:blank:]]) typed+=('') ;; esac
  current=\${typed[\${#typed[@]} - 1]}
  prefix=\${current%"\${current##*[:=]}"}
  while IFS=$'\\t' read -r value description; do
    case $value in
      :[0-9]*) besides=\${value#:} ;;
      "$current"*) COMPREPLY+=("\${value#"$prefix"}") ;;
    esac
  done < <(command portcullis __complete -- "\${typed[@]:1}" 2>/dev/null)
  case $besides in
    0) compopt -o default 2>/dev/null ;;
    16) compopt -o dirnames 2>/dev/null ;;
  esac
  return 0
}
complete -F _portcullis portcullis
`;

const ZSH = `#compdef portcullis
# zsh completion for portcullis. For every new shell, in ~/.zshrc, after compinit:
#   source <(portcullis completion zsh)
_portcullis() {
  local value description besides=4
  local -a typed values descriptions
  typed=("\${(@Q)words[2,CURRENT-1]}")
  (( CURRENT > 2 )) || typed=()
  while IFS=$'\\t' read -r value description; do
    case $value in
      :[0-9]*) besides=\${value#:} ;;
      *)
        values+=("$value")
        descriptions+=("$value\${description:+  -- $description}")
        ;;
    esac
  done < <(command portcullis __complete -- "\${typed[@]}" "\${(Q)PREFIX}" 2>/dev/null)
  case $besides in
    0) compset -P '--*='; _files ;;
    16) compset -P '--*='; _files -/ ;;
    *)
      if [[ \${#values} -gt 0 ]]; then compadd -l -d descriptions -a values; else return 1; fi
      ;;
  esac
}
if [ "\${funcstack[1]}" = _portcullis ]; then
  _portcullis "$@"
else
  compdef _portcullis portcullis
fi
`;

const FISH = `# fish completion for portcullis. For every new shell:
#   portcullis completion fish > ~/.config/fish/completions/portcullis.fish
function __portcullis_complete
    set -l typed (commandline -opc)
    set -e typed[1]
    set -l current (commandline -ct)
    set -l found (command portcullis __complete -- $typed "$current" 2>/dev/null)
    switch "$found[-1]"
        case ':0'
            __fish_complete_path (string replace -r '^--[^=]*=' '' -- "$current")
        case ':16'
            __fish_complete_directories (string replace -r '^--[^=]*=' '' -- "$current")
        case '*'
            string match -v -r '^:[0-9]+$' -- $found
    end
end
complete -c portcullis -f -a '(__portcullis_complete)'
`;

const KUBECTL = `#!/bin/sh
# Completion of \`kubectl portcullis\`: kubectl (1.26 and newer) runs this file by its name. To install it, in a folder of $PATH:
#   portcullis completion kubectl > kubectl_complete-portcullis && chmod 755 kubectl_complete-portcullis
exec portcullis __complete -- "$@"
`;

/** The scripts, by the argument of `portcullis completion`. */
export const COMPLETION_SCRIPTS: ReadonlyMap<string, string> = new Map([
  ['bash', BASH],
  ['zsh', ZSH],
  ['fish', FISH],
  ['kubectl', KUBECTL],
]);
