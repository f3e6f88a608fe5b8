package httpapi

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strconv"

	"github.com/ai-token-vault/tokenvault"
)

// bind reads path values, query parameters and the JSON body into the struct that
// in points to. A field is tagged path, query or json. No error holds what was
// sent.
func bind(r *http.Request, in any) error {
	v := reflect.ValueOf(in).Elem()
	if v.Kind() != reflect.Struct {
		return nil
	}
	query := r.URL.Query()
	hasBody := false
	for _, field := range reflect.VisibleFields(v.Type()) {
		var text string
		name, inPath := field.Tag.Lookup("path")
		if inPath {
			text = r.PathValue(name)
		} else if name = field.Tag.Get("query"); name != "" {
			if len(query[name]) > 1 {
				return &tokenvault.FieldError{Field: name, Reason: "must be given once"}
			}
			text = query.Get(name)
		} else {
			hasBody = hasBody || field.Tag.Get("json") != ""
			continue
		}
		if err := setText(v.FieldByIndex(field.Index), name, text); err != nil {
			return err
		}
	}
	if !hasBody || r.Method == http.MethodGet {
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
