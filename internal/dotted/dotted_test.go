package dotted

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestText(t *testing.T) {
	sources := []map[string]any{
		{"user": map[string]any{"id": json.Number("12"), "name": ""}, "list": []any{"x"}, "long": strings.Repeat("x", 256), "control": "a\x00b"},
		{"name": "octocat", "size": 3.0},
	}
	for _, tc := range []struct{ paths, want string }{
		{"user.id", "12"}, {"user.name name", "octocat"}, {"size", "3"}, {"long", ""}, {"control", ""}, {"control name", "octocat"}, {"list", ""}, {"list.0", ""}, {"user.id.x", ""}, {"", ""},
	} {
		if got := Text(sources, strings.Fields(tc.paths)); got != tc.want {
			t.Errorf("Text(%q) = %q, want %q", tc.paths, got, tc.want)
		}
	}
}
