package gcd_test

import (
	"errors"
	"go/build"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// systems are those that gcd is built for. A file that only one of them has counts like any other.
var systems = []string{"linux", "darwin", "windows"}

// goPackages returns the packages of the tree as they are built for a system, those of the modules
// bench/ and clients/ too, by their folders. A folder that has only tests is none.
func goPackages(t *testing.T, goos string) map[string]*build.Package {
	t.Helper()
	system := build.Default
	system.GOOS, system.GOARCH, system.CgoEnabled = goos, "amd64", false
	packages := make(map[string]*build.Package)
	for _, folder := range goFolders(t) {
		p, err := system.ImportDir(filepath.FromSlash(folder), 0)
		if none := new(build.NoGoError); errors.As(err, &none) {
			continue
		} else if err != nil {
			t.Fatalf("the package in %s cannot be read for %s: %v", folder, goos, err)
		}
		if len(p.GoFiles) > 0 {
			packages[folder] = p
		}
	}
	if len(packages) < 10 {
		t.Fatalf("only %d packages were found for %s", len(packages), goos)
	}
	return packages
}

// goFolders returns the folders of the tree that have Go files, with slashes and from the root.
func goFolders(t *testing.T) []string {
	t.Helper()
	var folders []string
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		switch name := entry.Name(); {
		case err != nil:
			return err
		case !entry.IsDir():
			return nil
		case path != "." && strings.HasPrefix(name, "."), name == "testdata", name == "node_modules":
			return fs.SkipDir
		}
		if files, err := filepath.Glob(filepath.Join(path, "*.go")); err != nil || len(files) == 0 {
			return err
		}
		folders = append(folders, filepath.ToSlash(path))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return folders
}
