package telemetry

import (
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/ai-token-vault/tokenvault"
)

// metrics are the counters and histograms that are told, not asked.
type metrics struct {
	operations, requests   *prometheus.CounterVec
	opSeconds, httpSeconds *prometheus.HistogramVec
	commitEntries          prometheus.Histogram
}

// seconds are the bounds of durations: a warm resolve takes some microseconds, a
// slow provider half a minute.
func seconds() []float64 {
	return []float64{.000_05, .000_2, .001, .005, .02, .1, .5, 2, 10, 30}
}

func newMetrics(registry prometheus.Registerer, version string) *metrics {
	m := &metrics{
		operations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tokenvault_operations_total", Help: "Operations that ended, by outcome.",
		}, []string{"operation", "provider", "outcome"}),
		opSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tokenvault_operation_duration_seconds", Help: "How long operations took.", Buckets: seconds(),
		}, []string{"operation", "provider"}),
		commitEntries: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tokenvault_audit_commit_entries", Help: "Audit entries per durable commit.", Buckets: prometheus.ExponentialBuckets(1, 2, 10),
		}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tokenvault_http_requests_total", Help: "HTTP requests that were answered.",
		}, []string{"route", "code"}),
		httpSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tokenvault_http_request_duration_seconds", Help: "How long HTTP requests took; long polls wait on purpose.", Buckets: seconds(),
		}, []string{"route"}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "tokenvault_build_info", Help: "Which version runs.",
		ConstLabels: prometheus.Labels{"version": version, "go_version": runtime.Version()},
	})
	build.Set(1)
	registry.MustRegister(m.operations, m.opSeconds, m.commitEntries, m.requests, m.httpSeconds, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func watchStats(registry prometheus.Registerer, stats func() tokenvault.Stats) {
	registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "tokenvault_audit_queue_entries", Help: "Audit entries that wait for their commit.",
		}, func() float64 { return float64(stats().AuditQueued) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "tokenvault_audit_failing", Help: "1 while audit entries cannot be written and nothing is released.",
		}, func() float64 {
			if stats().AuditFailing {
				return 1
			}
			return 0
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "tokenvault_browser_logins", Help: "Logins that run in browsers of this process.",
		}, func() float64 { return float64(stats().Logins) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "tokenvault_browser_sessions", Help: "Browsers of this process that are open for agents.",
		}, func() float64 { return float64(stats().Sessions) }),
		failing(stats),
	)
}

// failing collects which providers fail; those that do not have no sample.
type failing func() tokenvault.Stats

// Describe implements [prometheus.Collector].
func (f failing) Describe(to chan<- *prometheus.Desc) { to <- f.desc() }

func (failing) desc() *prometheus.Desc {
	return prometheus.NewDesc("tokenvault_provider_failing",
		"1 while a provider's token endpoint keeps failing and is left alone.", []string{"provider"}, nil)
}

// Collect implements [prometheus.Collector].
func (f failing) Collect(to chan<- prometheus.Metric) {
	for _, id := range f().FailingProviders {
		to <- prometheus.MustNewConstMetric(f.desc(), prometheus.GaugeValue, 1, id)
	}
}

func (m *metrics) operation(op tokenvault.Operation, outcome tokenvault.Outcome, took time.Duration) {
	m.operations.WithLabelValues(string(op.Kind), op.ProviderID, string(outcome)).Inc()
	m.opSeconds.WithLabelValues(string(op.Kind), op.ProviderID).Observe(took.Seconds())
	if op.Entries > 0 {
		m.commitEntries.Observe(float64(op.Entries))
	}
}

func (m *metrics) request(route string, code int, took time.Duration) {
	m.requests.WithLabelValues(route, strconv.Itoa(code)).Inc()
	m.httpSeconds.WithLabelValues(route).Observe(took.Seconds())
}
