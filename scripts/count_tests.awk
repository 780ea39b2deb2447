# Adds up what ctest --verbose logs say: cmocka's and busted's own counts,
# `N passed, N failed, N skipped` lines, and one for a program with neither.
# Prints the output of what failed, reasons of what was skipped, the total.

function forget() {
	delete p; delete f; delete s; delete text; delete reason
}
FNR == 1 { forget() }

match($0, /^[0-9]+: /) {
	n = substr($0, 1, RLENGTH - 2)
	line = substr($0, RLENGTH + 1)
	text[n] = text[n] line "\n"
	if (match(line, /^\[  PASSED  \] [0-9]+ test/))
		p[n] += number(line)
	else if (match(line, /^\[  FAILED  \] [0-9]+ test/))
		f[n] += number(line)
	else if (match(line, /^\[  SKIPPED \] [0-9]+ test/))
		s[n] += number(line)
	else if (line ~ /^ok [0-9]+/)
		p[n]++
	else if (line ~ /^not ok [0-9]+/)
		f[n]++
	else if (line ~ /^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$/) {
		split(line, part, / [a-z]+,? ?/)
		p[n] += part[1]; f[n] += part[2]; s[n] += part[3]
	}
	if (line ~ /^skipped: /)
		reason[n] = reason[n] "  " line "\n"
	next
}

function number(line) {
	gsub(/[^0-9]/, "", line)
	return line + 0
}

match($0, /Test +#[0-9]+: /) {
	n = $0; sub(/.*Test +#/, "", n); sub(/:.*/, "", n)
	name = $0; sub(/.*Test +#[0-9]+: /, "", name); sub(/ .*/, "", name)
	if ($0 ~ /Skipped/) {
		if (!s[n]) s[n] = 1
	} else if ($0 ~ /Passed/) {
		if (!p[n] && !f[n] && !s[n]) p[n] = 1
	} else {
		if (!f[n]) f[n] = 1
	}
	passed += p[n]; failed += f[n]; skipped += s[n]
	if (f[n]) printf "FAILED %s (%s)\n%s", name, FILENAME, text[n]
	if (s[n]) printf "skipped in %s: %d\n%s", name, s[n], reason[n]
}

END {
	printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
	exit failed || !passed
}
