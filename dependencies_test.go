package gcd_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"testing"
)

// TestDependencies compares the modules that go.mod requires for our own imports with the tables in
// docs/dependencies.md: each is there, at its version, and none that is gone.
func TestDependencies(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]string) // module → version
	rows := regexp.MustCompile(`(?m)^\| \[([^\]]+)\]\([^)]*\) \| (v[^ ]+) \|`)
	for _, row := range rows.FindAllStringSubmatch(string(text), -1) {
		documented[row[1]] = row[2]
	}

	output, err := exec.Command("go", "mod", "edit", "-json").Output()
	if err != nil {
		t.Fatalf("go mod edit: %v", err)
	}
	var module struct {
		Require []struct {
			Path, Version string
			Indirect      bool
		}
	}
	if err := json.Unmarshal(output, &module); err != nil {
		t.Fatal(err)
	}
	for _, required := range module.Require {
		if required.Indirect {
			continue
		}
		switch version, ok := documented[required.Path]; {
		case !ok:
			t.Errorf("docs/dependencies.md has no line for %s", required.Path)
		case version != required.Version:
			t.Errorf("docs/dependencies.md has %s at %s, go.mod at %s", required.Path, version, required.Version)
		}
		delete(documented, required.Path)
	}
	for path := range documented {
		t.Errorf("docs/dependencies.md has a line for %s, which go.mod does not require", path)
	}
}
