// Package dotted reads values of decoded JSON by dotted paths, such as "user.id".
package dotted

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
)

// maxText bounds what Text returns, in bytes.
const maxText = 255

// At returns what is at the path, or nil.
func At(fields map[string]any, path string) any {
	var v any = fields
	for name := range strings.SplitSeq(path, ".") {
		object, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = object[name]
	}
	return v
}

// Text returns the first path that holds text or a number, source by source, or
// nothing. Text of more than 255 bytes is passed over, and so is what has control
// characters: no service names anybody so, and not every database takes them.
func Text(sources []map[string]any, paths []string) string {
	for _, source := range sources {
		for _, path := range paths {
			switch v := At(source, path).(type) {
			case string:
				if v != "" && len(v) <= maxText && !strings.ContainsFunc(v, unicode.IsControl) {
					return v
				}
			case json.Number:
				return v.String()
			case float64:
				return fmt.Sprintf("%.0f", v)
			}
		}
	}
	return ""
}
