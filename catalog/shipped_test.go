package catalog

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/ai-token-vault/tokenvault"
)

var update = flag.Bool("update", false, "write shipped.json")

// The embedded providers are those of the files, field by field.
func TestShipped(t *testing.T) {
	files, err := filepath.Glob("providers/*.yaml")
	if err != nil || len(files) < 25 {
		t.Fatalf("%d provider files, %v", len(files), err)
	}
	var want []tokenvault.Provider
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		p, err := Parse(file, text)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, p)
	}
	if *update {
		text, err := json.MarshalIndent(want, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("shipped.json", append(text, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
		return // the embedded text is still the old one
	}
	got := shipped()
	if len(got) != len(want) {
		t.Fatalf("shipped.json has %d providers, the files %d: run 'go generate ./catalog'", len(got), len(want))
	}
	for i := range want {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("%s in shipped.json is not as in its file: run 'go generate ./catalog'", want[i].ID)
		}
	}
}
