"""What each shell runs when Tab is pressed: it asks `hpcurate __complete`, and hpcurate never prints an error there."""

from __future__ import annotations

BASH = """\
# hpcurate completion bash > ~/.local/share/bash-completion/completions/hpcurate
_hpcurate() {
    mapfile -t COMPREPLY < <(hpcurate __complete bash "$COMP_WORDBREAKS" "${COMP_LINE:0:COMP_POINT}" 2>/dev/null)
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=./] ]]; then
        compopt -o nospace
    fi
}
complete -F _hpcurate hpcurate
"""
ZSH = """\
#compdef hpcurate
# hpcurate completion zsh > a file _hpcurate in a folder of $fpath, before compinit
_hpcurate() {
    local line word
    local -a done done_shown more more_shown
    while IFS= read -r line; do
        word=${line%%$'\\t'*}
        if [[ $word == *[=./] ]]; then
            more+=("$word") more_shown+=("${line/$'\\t'/  }")
        else
            done+=("$word") done_shown+=("${line/$'\\t'/  }")
        fi
    done < <(hpcurate __complete zsh "${(@Q)words[2,CURRENT]}" 2>/dev/null)
    compadd -l -d more_shown -S '' -a more
    compadd -l -d done_shown -a done
}
if [[ ${funcstack[1]} == _hpcurate ]]; then _hpcurate "$@"; else compdef _hpcurate hpcurate; fi
"""
FISH = """\
# hpcurate completion fish > ~/.config/fish/completions/hpcurate.fish
complete -c hpcurate -f -a '(hpcurate __complete fish (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}
