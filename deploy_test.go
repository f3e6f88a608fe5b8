package tokenvault_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/server"
	"github.com/ai-token-vault/tokenvault/telemetry"
)

// settings returns the names of all environment variables of the server: those of
// its flags, and the secrets that the command reads itself.
func settings(t *testing.T) []string {
	t.Helper()
	names := envTags(reflect.TypeFor[server.Config]())
	for _, match := range regexp.MustCompile(`os\.Getenv\("(TOKENVAULT_[A-Z_]+)"\)`).FindAllStringSubmatch(readText(t, "cmd/tokenvault/main.go"), -1) {
		names = append(names, match[1])
	}
	if len(names) < 30 {
		t.Fatalf("only %d settings were found: %q", len(names), names)
	}
	return names
}

func envTags(of reflect.Type) (names []string) {
	for field := range of.Fields() {
		if name := field.Tag.Get("env"); name != "" {
			names = append(names, name)
		}
		if field.Anonymous {
			names = append(names, envTags(field.Type)...)
		}
	}
	return names
}

func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Every setting that a file for deployments names exists.
func TestDeployedSettingsExist(t *testing.T) {
	known, count := settings(t), 0
	for _, pattern := range []string{"deploy/*/*", "docs/deploy.md"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %q, %v", pattern, files, err)
		}
		for _, file := range files {
			for _, name := range regexp.MustCompile(`TOKENVAULT_[A-Z_]+`).FindAllString(readText(t, file), -1) {
				count++
				if !slices.Contains(known, name) {
					t.Errorf("%s names %s, which is no setting", file, name)
				}
			}
		}
	}
	if count < 15 {
		t.Errorf("only %d settings are named", count)
	}
}

// What the files set, the server can start with.
func TestDeployedSettingsAreValid(t *testing.T) {
	var keys map[string]any
	if err := yaml.Unmarshal([]byte(readText(t, "deploy/systemd/tokenvault.yaml")), &keys); err != nil {
		t.Fatal(err)
	}
	var unit, cluster []string
	for key, value := range keys {
		unit = append(unit, fmt.Sprintf("--%s=%s", key, joined(value)))
	}
	lines := bufio.NewScanner(strings.NewReader(readText(t, "deploy/kubernetes/settings.env")))
	for lines.Scan() {
		name, value, _ := strings.Cut(strings.TrimPrefix(lines.Text(), "TOKENVAULT_"), "=")
		cluster = append(cluster, fmt.Sprintf("--%s=%s", strings.ReplaceAll(strings.ToLower(name), "_", "-"), value))
	}
	for name, flags := range map[string][]string{"systemd": unit, "kubernetes": cluster} {
		var command struct {
			server.Config `embed:""`
		}
		parser, err := kong.New(&command)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parser.Parse(flags); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := command.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func joined(value any) string {
	list, ok := value.([]any)
	if !ok {
		return fmt.Sprint(value)
	}
	var texts []string
	for _, one := range list {
		texts = append(texts, fmt.Sprint(one))
	}
	return strings.Join(texts, ",")
}

// A manifest is what the tests look at in an object of Kubernetes.
type manifest struct {
	Kind string
	Spec struct {
		Replicas int
		Selector any
		Template struct {
			Metadata struct{ Labels map[string]string }
			Spec     struct {
				TerminationGracePeriodSeconds int `yaml:"terminationGracePeriodSeconds"`
				Containers                    []struct {
					Image string
					Args  []string
					Ports []struct {
						Name          string
						ContainerPort int `yaml:"containerPort"`
					}
				}
			}
		}
	}
}

// manifests returns the objects of the base by kind.
func manifests(t *testing.T) map[string]manifest {
	t.Helper()
	var base struct {
		Resources []string
		Images    []struct{ Name string }
	}
	if err := yaml.Unmarshal([]byte(readText(t, "deploy/kubernetes/kustomization.yaml")), &base); err != nil || len(base.Images) != 1 {
		t.Fatalf("%+v, %v", base, err)
	}
	found := map[string]manifest{}
	for _, file := range base.Resources {
		dec := yaml.NewDecoder(strings.NewReader(readText(t, "deploy/kubernetes/"+file)))
		for {
			var m manifest
			err := dec.Decode(&m)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil || m.Kind == "" {
				t.Fatalf("%s: %q, %v", file, m.Kind, err)
			}
			found[m.Kind] = m
			for _, c := range m.Spec.Template.Spec.Containers {
				if c.Image != base.Images[0].Name {
					t.Errorf("%s runs image %q, which kustomization.yaml does not set", file, c.Image)
				}
			}
		}
	}
	return found
}

func TestTheKubernetesBaseFitsTogether(t *testing.T) {
	found := manifests(t)
	for _, kind := range []string{"Deployment", "Job", "Service", "PodDisruptionBudget", "NetworkPolicy", "ServiceAccount"} {
		if _, ok := found[kind]; !ok {
			t.Errorf("there is no %s", kind)
		}
	}
	d, env := found["Deployment"].Spec, readText(t, "deploy/kubernetes/settings.env")
	if d.Replicas < 3 || d.Template.Spec.TerminationGracePeriodSeconds < 60 || len(d.Template.Spec.Containers) != 1 {
		t.Fatalf("the deployment: %+v", d)
	}
	for _, port := range d.Template.Spec.Containers[0].Ports {
		setting := map[string]string{"http": "TOKENVAULT_LISTEN", "metrics": "TOKENVAULT_METRICS_LISTEN"}[port.Name]
		if !strings.Contains(env, fmt.Sprintf("%s=0.0.0.0:%d\n", setting, port.ContainerPort)) {
			t.Errorf("port %s: settings.env does not listen on %d", port.Name, port.ContainerPort)
		}
		if exposed := regexp.MustCompile(`(?m)^EXPOSE.*\b` + fmt.Sprint(port.ContainerPort) + `\b`); !exposed.MatchString(readText(t, "deploy/docker/Dockerfile")) {
			t.Errorf("port %s: the Dockerfile does not expose %d", port.Name, port.ContainerPort)
		}
	}
}

// Every metric, operation and outcome of the dashboard exists.
func TestTheDashboardShowsWhatIsMeasured(t *testing.T) {
	text := readText(t, "deploy/grafana/dashboard.json")
	if !json.Valid([]byte(text)) {
		t.Fatal("the dashboard is no JSON")
	}
	measured := scrape(t)
	names := regexp.MustCompile(`\b(?:tokenvault|go|process)_[a-z_]+\b`).FindAllString(text, -1)
	if len(names) < 20 {
		t.Fatalf("the dashboard names only %q", names)
	}
	for _, name := range names {
		if !bytes.Contains(measured, []byte("\n"+name+"{")) && !bytes.Contains(measured, []byte("\n"+name+" ")) {
			t.Errorf("the dashboard names %s, which is not measured", name)
		}
	}
	words := readText(t, "observe.go")
	for _, match := range regexp.MustCompile(`(?:operation|outcome)!?=\\"([a-z_.]+)\\"`).FindAllStringSubmatch(text, -1) {
		if !strings.Contains(words, `"`+match[1]+`"`) && !errorCode(match[1]) {
			t.Errorf("the dashboard selects %q, which is neither an operation nor an outcome", match[1])
		}
	}
}

func errorCode(outcome string) bool {
	return outcome == string(tokenvault.OutcomeOf(tokenvault.ErrStateInvalid))
}

type noStats struct{}

func (noStats) Stats() tokenvault.Stats { return tokenvault.Stats{} }

// scrape returns all metrics after something of each happened.
func scrape(t *testing.T) []byte {
	t.Helper()
	tel, err := telemetry.New(telemetry.Options{Environ: func(string) string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	tel.Watch(noStats{})
	_, end := tel.Begin(t.Context(), tokenvault.Operation{Kind: tokenvault.OpAuditCommit, Entries: 1})
	end(tokenvault.OutcomeOK)
	request := func() *http.Request {
		return httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody)
	}
	tel.Handler(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), request())
	answer := httptest.NewRecorder()
	tel.Metrics().ServeHTTP(answer, request())
	return answer.Body.Bytes()
}
