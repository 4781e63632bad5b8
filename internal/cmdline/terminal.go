package cmdline

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// IsTerminal says whether somebody sees what is written to w.
func IsTerminal(w io.Writer) bool {
	file := fileOf(w)
	return file != nil && term.IsTerminal(int(file.Fd()))
}

// DrawsAnew says whether a line that is written to w can be drawn anew: on a terminal, unless it is
// none that moves its cursor (TERM=dumb), as that of an editor.
func DrawsAnew(w io.Writer) bool { return IsTerminal(w) && os.Getenv("TERM") != "dumb" }

// terminalWidth is how many columns the terminal has that w is; 0 if it is none, or does not say.
func terminalWidth(w io.Writer) int {
	file := fileOf(w)
	if file == nil {
		return 0
	}
	width, _, err := term.GetSize(int(file.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// Fit cuts a line to the width of the terminal that w is. It stays as it is if w is none.
func Fit(line string, w io.Writer) string {
	if width := terminalWidth(w); width > 0 {
		return cut(line, width)
	}
	return line
}

// cut leaves so many columns of a line, and all that moves the cursor or changes colors.
func cut(line string, width int) string {
	var b strings.Builder
	for len(line) > 0 {
		if n := controlLength(line); n > 0 {
			b.WriteString(line[:n])
			line = line[n:]
			continue
		}
		_, n := utf8.DecodeRuneInString(line)
		if width > 0 {
			b.WriteString(line[:n])
		}
		width--
		line = line[n:]
	}
	return b.String()
}

// controlLength is how many bytes the control sequence has that a text begins with: ESC, "[",
// parameters, a letter. 0: it begins with none.
func controlLength(text string) int {
	if !strings.HasPrefix(text, "\x1b[") {
		return 0
	}
	end := strings.IndexFunc(text[2:], func(r rune) bool { return r >= '@' && r <= '~' })
	return 2 + end + 1
}

// fitting cuts each line that is written to the width that a terminal has then: one that went on
// in the next row would stay when it is to be drawn anew.
type fitting struct {
	io.Writer
	terminal io.Writer
}

func (f fitting) Write(b []byte) (int, error) {
	lines := strings.Split(string(b), "\n")
	for i, line := range lines {
		lines[i] = Fit(line, f.terminal)
	}
	if _, err := io.WriteString(f.Writer, strings.Join(lines, "\n")); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Visible returns a writer to "to" for text that is not all ours, where that comes to be written to
// w. If w is a terminal, characters that nobody sees, such as those that turn the order of others
// round, are written as \uXXXX; elsewhere everything is written as it is.
func Visible(w, to io.Writer) io.Writer {
	if IsTerminal(w) {
		return &visible{w: to}
	}
	return to
}

type visible struct {
	w    io.Writer
	held []byte // of a character that has not come to its end
}

func (v *visible) Write(b []byte) (int, error) {
	rest := append(v.held, b...)
	out := make([]byte, 0, len(rest))
	for len(rest) > 0 && (utf8.FullRune(rest) || len(rest) >= utf8.UTFMax) {
		r, n := utf8.DecodeRune(rest)
		switch {
		case r == utf8.RuneError && n == 1:
			out = fmt.Appendf(out, `\x%02x`, rest[0])
		case r == '\n' || r == '\t' || unicode.IsGraphic(r):
			out = append(out, rest[:n]...)
		case r > 0xffff:
			out = fmt.Appendf(out, `\U%08x`, r)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		rest = rest[n:]
	}
	v.held = append([]byte(nil), rest...)
	if _, err := v.w.Write(out); err != nil {
		return 0, err
	}
	return len(b), nil
}
