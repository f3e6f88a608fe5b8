package httpapi

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/ai-token-vault/tokenvault"
)

var update = flag.Bool("update", false, "write openapi.json")

// The description that is published is the one that the route table and the types
// give.
func TestOpenAPI(t *testing.T) {
	var got bytes.Buffer
	enc := json.NewEncoder(&got)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(newDocument(t).build()); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("openapi.json", got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(OpenAPI(), got.Bytes()) {
		t.Error("openapi.json is out of date: run 'go generate ./httpapi'")
	}
}

// object is a JSON object. Its keys are written in order of the alphabet.
type object = map[string]any

// A document collects the schemas that paths refer to.
type document struct {
	t       *testing.T
	schemas object
	named   map[reflect.Type]*jsonschema.Schema // how a type is referred to from others
}

func newDocument(t *testing.T) *document {
	d := &document{t: t, schemas: object{}, named: map[reflect.Type]*jsonschema.Schema{}}
	text := func(format string) *jsonschema.Schema { return &jsonschema.Schema{Type: "string", Format: format} }
	d.named[reflect.TypeFor[tokenvault.Secret]()] = text("password")
	d.named[reflect.TypeFor[time.Time]()] = text("date-time")
	d.named[reflect.TypeFor[scopeList]()] = &jsonschema.Schema{OneOf: []*jsonschema.Schema{
		{Type: "string", Description: "separated by spaces or commas"}, {Type: "array", Items: &jsonschema.Schema{Type: "string"}},
	}}
	enum[tokenvault.AuthMethod](d, tokenvault.AuthOAuth2, tokenvault.AuthBrowserLogin, tokenvault.AuthAPIKey)
	d.named[reflect.TypeFor[time.Duration]()] = &jsonschema.Schema{Type: "string", Description: `a duration such as "12h" or "90m"`}
	enum[tokenvault.ClientAuth](d, tokenvault.ClientSecretBasic, tokenvault.ClientSecretPost, tokenvault.PrivateKeyJWT, tokenvault.ClientAuthNone)
	enum[tokenvault.RequestFormat](d, tokenvault.RequestForm, tokenvault.RequestJSON)
	enum[tokenvault.LoginStrategy](d, tokenvault.SignURLPattern, tokenvault.SignResponse, tokenvault.SignReturn, tokenvault.SignCookie, tokenvault.SignProbe)
	d.named[reflect.TypeFor[json.RawMessage]()] = &jsonschema.Schema{Type: "object"}
	enum[tokenvault.BrowserPhase](d, tokenvault.BrowserQueued, tokenvault.BrowserStarting, tokenvault.BrowserOpen, tokenvault.BrowserEnded)
	enum[tokenvault.LoginNotice](d, tokenvault.LoginChecking, tokenvault.LoginNotSignedIn, tokenvault.LoginUnavailable, tokenvault.LoginOtherAccount)
	enum(d, formatStorageState, formatCookieHeader, formatRaw)
	enum[tokenvault.UsageMode](d, tokenvault.UsageToken, tokenvault.UsageSession)
	enum[tokenvault.Release](d, tokenvault.ReleaseInject, tokenvault.ReleaseToken)
	enum[tokenvault.AuthRequestStatus](d, tokenvault.AuthPending, tokenvault.AuthConnected, tokenvault.AuthDeclined, tokenvault.AuthExpired, tokenvault.AuthFailed)
	enum[tokenvault.Reason](d, tokenvault.ReasonMissing, tokenvault.ReasonExpired, tokenvault.ReasonRevoked,
		tokenvault.ReasonInsufficientScope, tokenvault.ReasonPermissionRequired, tokenvault.ReasonChooseAccount)
	enum[tokenvault.ConnectionStatus](d, tokenvault.ConnectionActive, tokenvault.ConnectionNeedsReauth, tokenvault.ConnectionRevoked)
	enum[tokenvault.ActorKind](d, tokenvault.ActorUser, tokenvault.ActorAgent, tokenvault.ActorBackend, tokenvault.ActorAdmin, tokenvault.ActorSystem)
	enum[tokenvault.KeyState](d, tokenvault.KeyActive, tokenvault.KeyExpired, tokenvault.KeyRevoked)
	enum(d, allScopes()...)
	enum[tokenvault.AuthNotice](d, tokenvault.NoticeOtherAccount)
	d.component(reflect.TypeFor[authRequestOutput](), "AuthRequest")
	d.named[reflect.TypeFor[tokenvault.AuthRequiredPayload]()] = d.named[reflect.TypeFor[authRequestOutput]()]
	d.component(reflect.TypeFor[problem](), "Problem")
	d.component(reflect.TypeFor[tokenvault.Provider](), "ProviderDefinition")
	for _, named := range []reflect.Type{
		reflect.TypeFor[providerRow](), reflect.TypeFor[credentialSummary](), reflect.TypeFor[permissionRow](),
		reflect.TypeFor[appRow](), reflect.TypeFor[loginRow](), reflect.TypeFor[keyRow](), reflect.TypeFor[eventRow](),
	} {
		d.component(named, exported(strings.TrimSuffix(named.Name(), "Row")))
	}
	return d
}

func enum[T ~string](d *document, values ...T) {
	s := &jsonschema.Schema{Type: "string"}
	for _, v := range values {
		s.Enum = append(s.Enum, string(v))
	}
	d.named[reflect.TypeFor[T]()] = s
}

func exported(name string) string { return strings.ToUpper(name[:1]) + name[1:] }

// component puts a type's schema under a name, by which others refer to it.
func (d *document) component(typ reflect.Type, name string) {
	s := d.schema(typ)
	s.Title = ""
	d.schemas[name] = s
	d.named[typ] = &jsonschema.Schema{Ref: "#/components/schemas/" + name}
}

// schema describes a type. An answer may grow: nothing is said about properties
// that are not listed.
func (d *document) schema(typ reflect.Type) *jsonschema.Schema {
	d.t.Helper()
	if ref, ok := d.named[typ]; ok {
		return ref.CloneSchemas()
	}
	s, err := jsonschema.ForType(flat(typ), &jsonschema.ForOptions{TypeSchemas: d.named})
	if err != nil {
		d.t.Fatalf("%s: %v", typ, err)
	}
	open(s)
	return s
}

// flat returns a struct type with the fields of embedded structs among its own, as
// encoding/json writes them.
func flat(typ reflect.Type) reflect.Type {
	if typ.Kind() != reflect.Struct {
		return typ
	}
	var fields []reflect.StructField
	for _, field := range reflect.VisibleFields(typ) {
		if tag := field.Tag.Get("json"); tag != "" && tag != "-" && !field.Anonymous {
			field.Index, field.Offset = nil, 0
			fields = append(fields, field)
		}
	}
	return reflect.StructOf(fields)
}

func open(s *jsonschema.Schema) {
	if s == nil {
		return
	}
	s.AdditionalProperties = nil
	if slices.Equal(s.Types, []string{"null", "array"}) { // a list is never null
		s.Type, s.Types = "array", nil
	}
	open(s.Items)
	for _, p := range s.Properties {
		open(p)
	}
}

func (d *document) build() object {
	paths := object{}
	for _, table := range []struct {
		prefix, tag, security string
		routes                []route
	}{{tokenvault.DefaultMount, "browser", "session", browserRoutes()}, {"", "agents", "key", v1Routes()}} {
		for _, rt := range table.routes {
			method, path, _ := strings.Cut(rt.pattern, " ")
			op := d.operation(rt, method, path)
			op["tags"], op["security"] = []string{table.tag}, []object{{table.security: []string{}}}
			switch {
			case rt.scope != "":
				op["security"] = []object{{table.security: []string{string(rt.scope)}}}
			case table.security == "key":
				op["security"] = []object{} // for everybody
			}
			item, ok := paths[table.prefix+path].(object)
			if !ok {
				item = object{}
				paths[table.prefix+path] = item
			}
			item[strings.ToLower(method)] = op
		}
	}
	return object{
		"openapi": "3.1.0",
		"info": object{
			"title": "tokenvault", "version": "1", "license": object{"name": "MIT", "identifier": "MIT"},
			"description": "The credential vault for AI agents. Routes tagged browser are below the configured mount, whose default is shown, " +
				"and take the user's session; those tagged agents take an API key.",
		},
		"tags":  []object{{"name": "browser"}, {"name": "agents"}},
		"paths": paths,
		"components": object{
			"schemas": d.schemas,
			"securitySchemes": object{
				"session": object{"type": "apiKey", "in": "cookie", "name": "session", "description": "The host application's session, or that of local sign-in"},
				"key":     object{"type": "http", "scheme": "bearer", "description": "An API key: tokenvault apikey create. It needs the scope that is listed with a route"},
			},
		},
	}
}

var pathParameter = regexp.MustCompile(`\{(\w+)\}`)

func (d *document) operation(rt route, method, path string) object {
	name := strings.ToLower(method)
	for _, word := range regexp.MustCompile(`\w+`).FindAllString(path, -1) {
		name += exported(word)
	}
	op := object{"operationId": name, "summary": rt.summary, "responses": d.responses(rt)}
	parameters := []object{}
	for _, m := range pathParameter.FindAllStringSubmatch(path, -1) {
		parameters = append(parameters, object{"name": m[1], "in": "path", "required": true, "schema": object{"type": "string"}})
	}
	for _, field := range reflect.VisibleFields(rt.in) {
		if name := field.Tag.Get("query"); name != "" {
			kind := object{"type": "string"}
			switch field.Type.Kind() {
			case reflect.Int:
				kind = object{"type": "integer", "minimum": 1, "maximum": 1000}
			case reflect.Bool:
				kind = object{"type": "boolean"}
			}
			parameters = append(parameters, object{"name": name, "in": "query", "schema": kind})
		}
	}
	if len(parameters) > 0 {
		op["parameters"] = parameters
	}
	if s := d.schema(rt.in); len(s.Properties) > 0 {
		s.AdditionalProperties = &jsonschema.Schema{Not: &jsonschema.Schema{}} // unknown fields are refused
		op["requestBody"] = object{"required": true, "content": object{"application/json": object{"schema": s}}}
	}
	return op
}

func (d *document) responses(rt route) object {
	problem := object{"description": "A problem (RFC 9457)", "content": object{
		"application/problem+json": object{"schema": object{"$ref": "#/components/schemas/Problem"}},
	}}
	responses := object{"default": problem}
	switch {
	case strings.Contains(rt.pattern, " /oauth/"):
		responses["302"] = object{"description": "To a page of the vault"}
		if strings.Contains(rt.pattern, "callback") {
			responses = object{"303": object{"description": "To a page of the vault, or the return URL"}}
		}
		return responses
	case rt.out == reflect.TypeFor[none]():
		return responses
	case strings.HasSuffix(rt.pattern, "/resolve"):
		responses["428"] = object{"description": "The owner has to act first: authRequest says how", "content": problem["content"]}
	}
	content := object{"application/json": object{"schema": d.schema(rt.out)}}
	if rt.out == reflect.TypeFor[authRequestOutput]() && strings.Contains(rt.pattern, http.MethodGet) {
		content["text/event-stream"] = object{"schema": object{"type": "string", "description": "auth_request events whose data is an AuthRequest"}}
	}
	responses["200"] = object{"description": "OK", "content": content}
	return responses
}
