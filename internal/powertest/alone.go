package powertest

import (
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// variable says to a process which test it is for.
const variable = "GCD_TEST_ALONE"

// quick is where a sync costs nothing; what is recorded is the same.
const quick = "/dev/shm"

// ErrUnsupported says that the system does not let calls be held up.
var ErrUnsupported = errors.New("powertest: no seccomp listener")

// Alone says whether a test has a process of its own. If not, it runs the test in one and takes
// over what came of it: the caller has nothing left to do.
func Alone(t *testing.T) bool {
	t.Helper()
	if os.Getenv(variable) == t.Name() {
		return true
	}
	command := exec.Command(os.Args[0], "-test.run=^"+regexp.QuoteMeta(t.Name())+"$", "-test.v", "-test.timeout=5m")
	command.Env = append(os.Environ(), variable+"="+t.Name())
	if info, err := os.Stat(quick); err == nil && info.IsDir() {
		command.Env = append(command.Env, "TMPDIR="+quick)
	}
	out, err := command.CombinedOutput()
	switch {
	case err != nil:
		t.Fatalf("%v\n%s", err, out)
	case strings.Contains(string(out), ErrUnsupported.Error()):
		t.Skipf("%s", out)
	case !strings.Contains(string(out), "--- PASS: "+t.Name()):
		t.Fatalf("it has not run:\n%s", out)
	}
	return false
}

// SkipIfUnsupported ends a test whose process cannot have its calls held up.
func SkipIfUnsupported(t *testing.T, err error) {
	t.Helper()
	if errors.Is(err, ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}
