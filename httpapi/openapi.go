package httpapi

import (
	_ "embed"
	"net/http"
	"slices"
)

//go:generate go test -run ^TestOpenAPI$ -update .

//go:embed openapi.json
var openAPI []byte

// OpenAPI returns the description of both APIs (OpenAPI 3.1), as JSON.
func OpenAPI() []byte { return slices.Clone(openAPI) }

func serveOpenAPI(_ *api, w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(openAPI)
}
