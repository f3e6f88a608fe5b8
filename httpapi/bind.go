package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strconv"

	"github.com/ai-token-vault/tokenvault"
)

// A form says where the fields of a struct come from.
type form struct {
	path, query []formField
	body        bool // fields come from a JSON body
}

type formField struct {
	name  string
	index []int // in the struct
}

// formOf reads the tags of a struct. A field is tagged path, query or json.
func formOf(in reflect.Type) *form {
	f := &form{}
	if in.Kind() != reflect.Struct {
		return f
	}
	for _, field := range reflect.VisibleFields(in) {
		if name, ok := field.Tag.Lookup("path"); ok {
			f.path = append(f.path, formField{name, field.Index})
		} else if name := field.Tag.Get("query"); name != "" {
			f.query = append(f.query, formField{name, field.Index})
		} else if field.Tag.Get("json") != "" {
			f.body = true
		}
	}
	return f
}

// form returns that of a struct, whose tags are read once.
func (a *api) form(in reflect.Type) *form {
	stored, _ := a.forms.Load(in)
	if known, ok := stored.(*form); ok {
		return known
	}
	f := formOf(in)
	a.forms.Store(in, f)
	return f
}

// bind reads path values, query parameters and the JSON body into the struct that
// in points to. No error holds what was sent.
func (f *form) bind(r *http.Request, in any) error {
	v := reflect.ValueOf(in).Elem()
	for _, field := range f.path {
		if err := setText(v.FieldByIndex(field.index), field.name, r.PathValue(field.name)); err != nil {
			return err
		}
	}
	if len(f.query) > 0 {
		query := r.URL.Query()
		for _, field := range f.query {
			if len(query[field.name]) > 1 {
				return &tokenvault.FieldError{Field: field.name, Reason: "must be given once"}
			}
			if err := setText(v.FieldByIndex(field.index), field.name, query.Get(field.name)); err != nil {
				return err
			}
		}
	}
	if !f.body || r.Method == http.MethodGet {
		return nil
	}
	return bindBody(r, in)
}

func setText(field reflect.Value, name, text string) error {
	if field.Kind() == reflect.String {
		field.SetString(text)
		return nil
	}
	if text == "" {
		return nil
	}
	if field.Kind() == reflect.Bool {
		if text != "true" && text != "false" {
			return &tokenvault.FieldError{Field: name, Reason: "must be true or false"}
		}
		field.SetBool(text == "true")
		return nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 1000 {
		return &tokenvault.FieldError{Field: name, Reason: "must be a number from 1 to 1000"}
	}
	field.SetInt(int64(n))
	return nil
}

// bindBody reads one JSON object with no unknown fields and nothing behind it.
func bindBody(r *http.Request, in any) error {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return &tokenvault.FieldError{Field: "Content-Type", Reason: "must be application/json"}
	}
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	err = dec.Decode(in)
	if err == nil {
		_, err = dec.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
	}
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return &tokenvault.FieldError{Field: "body", Reason: "must be at most 64 KiB"}
	}
	if field, ok := errors.AsType[*tokenvault.FieldError](err); ok {
		return field
	}
	if wrongType := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrongType) && wrongType.Field != "" {
		return &tokenvault.FieldError{Field: wrongType.Field, Reason: "has the wrong type"}
	}
	return &tokenvault.FieldError{Field: "body", Reason: "must be one JSON object with the documented fields only"}
}

// keepBody reads the body of a request, which is bounded, so that it can be read
// twice: replay puts it back.
func keepBody(r *http.Request) (replay func(), err error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, &tokenvault.FieldError{Field: "body", Reason: "must be at most 64 KiB"}
	}
	replay = func() { r.Body = io.NopCloser(bytes.NewReader(body)) }
	replay()
	return replay, nil
}
