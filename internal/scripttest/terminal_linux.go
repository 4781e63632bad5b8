package scripttest

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// Terminal is one to run a program on.
type Terminal struct {
	*os.File // what the program writes to
	screen   *os.File

	mutex   sync.Mutex
	changed *sync.Cond
	text    string
	ended   bool
}

// NewTerminal makes one, where the system has any.
func NewTerminal(t *testing.T) *Terminal {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("there are no terminals here: %v", err)
	}
	t.Cleanup(func() { screen.Close() })
	if err := unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	term := &Terminal{File: file, screen: screen}
	term.changed = sync.NewCond(&term.mutex)
	go term.read(screen)
	return term
}

// Resize gives the terminal so many columns. It has none before, and says nothing of its width.
func (term *Terminal) Resize(t *testing.T, columns int) {
	t.Helper()
	if err := unix.IoctlSetWinsize(int(term.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24,
		Col: uint16(columns)}); err != nil {
		t.Fatal(err)
	}
}

// Overlong are the lines of what was shown that are longer than so many columns, without what
// moves the cursor; not those that are one word.
func Overlong(shown string, columns int) (lines []string) {
	shown = regexp.MustCompile("\x1b\\[[0-9;?]*[A-Za-z]").ReplaceAllString(shown, "")
	for line := range strings.SplitSeq(strings.ReplaceAll(shown, "\r", "\n"), "\n") {
		if utf8.RuneCountInString(line) > columns && len(strings.Fields(line)) > 1 {
			lines = append(lines, line)
		}
	}
	return lines
}

// Hangup ends the terminal, as its window is closed: what runs on it hears of that.
func (term *Terminal) Hangup() {
	term.screen.Close()
	_, _ = term.Write([]byte("\n")) // wakes read, which holds the descriptor until then
}

// read takes what is written, until nobody has the terminal any more.
func (term *Terminal) read(screen *os.File) {
	b := make([]byte, 4096)
	for {
		n, err := screen.Read(b)
		term.mutex.Lock()
		term.text += string(b[:n])
		term.ended = err != nil
		term.changed.Broadcast()
		term.mutex.Unlock()
		if err != nil {
			return
		}
	}
}

// hang is when waiting gives up; it decides nothing but how a failure looks.
const hang = time.Minute

// WaitFor waits until a text was written.
func (term *Terminal) WaitFor(text string) {
	timer := time.AfterFunc(hang, func() { _ = term.Close() })
	defer timer.Stop()
	term.mutex.Lock()
	defer term.mutex.Unlock()
	for !strings.Contains(term.text, text) && !term.ended {
		term.changed.Wait()
	}
}

// Shown closes the terminal, and returns everything that was written to it.
func (term *Terminal) Shown() string {
	_ = term.Close()
	term.mutex.Lock()
	defer term.mutex.Unlock()
	for !term.ended {
		term.changed.Wait()
	}
	return strings.ReplaceAll(term.text, "\r\n", "\n")
}
