// Command load sends prepared requests to a gRPC method, or as JSON over HTTP/1.1, as many at a time
// as it is told to, and prints what came of them as JSON. An interrupt ends it early, as the end of its time would.
//
// With a file of access tokens, each request carries the next one of them.
//
// It knows bytes, not messages: the requests come from a file, and only the keys in them are
// written over before each is sent, so that no event is sent twice. It speaks just enough HTTP/2
// for that, with one goroutine a connection, because a whole gRPC client takes half as long for a
// request as the server does, on a machine that both share. Its own processor time is part of the
// report.
package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A marker in a request is where the key of an event goes: keyPrefix and as many digits as
// keyDigits says, which are written over.
const (
	keyPrefix = "bench-key-"
	keyDigits = 16
)

type options struct {
	address     string
	method      string
	bodies      string
	inFlight    int
	connections int
	seconds     float64
	requests    int64
	rate        float64
	firstKey    uint64
	http1       bool
	tokens      string
}

// A sender sends over one connection.
type sender interface {
	run() error
	close()
	result() *tally
}

// A tally is what came of one connection.
type tally struct {
	latencies []time.Duration
	inserted  int64
	sentBytes int64
}

// A body is a request to send, and where its keys are.
type body struct {
	bytes []byte
	keys  []int
}

// A report is what came of a run. Times are from just before a request is sent until its answer
// is read.
type report struct {
	Requests     int64   `json:"requests"`
	Failures     int64   `json:"failures"`
	FirstFailure string  `json:"first_failure"`
	Inserted     int64   `json:"inserted"`
	Keys         uint64  `json:"keys"`
	PerBody      []int64 `json:"per_body"`
	SentBytes    int64   `json:"sent_bytes"`
	ElapsedUs    int64   `json:"elapsed_us"`
	CpuUs        int64   `json:"cpu_us"`
	P50Us        int64   `json:"p50_us"`
	P99Us        int64   `json:"p99_us"`
	MaxUs        int64   `json:"max_us"`
}

func main() {
	var o options
	flag.StringVar(&o.address, "address", "", "where the server listens")
	flag.StringVar(&o.method, "method", "/cost_insights.v1.EventService/IngestEvents", "the path to call")
	flag.StringVar(&o.bodies, "bodies", "", "a file of requests, each after its length in four bytes, the highest first")
	flag.IntVar(&o.inFlight, "in-flight", 1, "how many requests wait for an answer at a time")
	flag.IntVar(&o.connections, "connections", 1, "over how many connections")
	flag.Float64Var(&o.seconds, "seconds", 0, "for how long to send")
	flag.Int64Var(&o.requests, "requests", 0, "how many requests to send, if not for a time")
	flag.Float64Var(&o.rate, "rate", 0, "at most how many requests to send in a second; 0 for as many as are answered")
	flag.Uint64Var(&o.firstKey, "first-key", 0, "the key of the first event")
	flag.BoolVar(&o.http1, "http1", false, "send the requests as JSON over HTTP/1.1, one at a time on each connection")
	flag.StringVar(&o.tokens, "tokens", "", "a file of access tokens, one a line, of which each gRPC request carries the next")
	flag.Parse()
	done, err := run(o)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(done)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(o options) (*report, error) {
	if o.connections < 1 || o.inFlight < o.connections || (o.seconds > 0) == (o.requests > 0) {
		return nil, errors.New("give -connections, no fewer -in-flight, and one of -seconds and -requests")
	}
	bodies, err := readBodies(o.bodies)
	if err != nil {
		return nil, err
	}
	tokens, err := readTokens(o.tokens)
	if err != nil {
		return nil, err
	}
	if o.http1 && len(tokens) > 0 {
		return nil, errors.New("over HTTP/1.1 requests carry no tokens")
	}
	plan := &plan{bodies: bodies, tokens: tokens, requests: o.requests, rate: o.rate, key: o.firstKey, perBody: make([]int64, len(bodies))}
	if o.http1 && o.connections != o.inFlight {
		return nil, errors.New("over HTTP/1.1 give as many -connections as -in-flight")
	}
	connections := make([]sender, o.connections)
	for i := range connections {
		inFlight := o.inFlight / o.connections
		if i < o.inFlight%o.connections {
			inFlight++
		}
		if o.http1 {
			connections[i], err = dialHttp1(o.address, o.method, plan)
		} else {
			connections[i], err = dial(o.address, o.method, inFlight, plan)
		}
		if err != nil {
			return nil, err
		}
		defer connections[i].close()
	}

	cpu := cpuUs()
	start := time.Now()
	plan.start = start
	if o.seconds > 0 {
		plan.until = start.Add(time.Duration(o.seconds * float64(time.Second)))
	}
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	go func() {
		<-interrupts
		plan.end()
	}()
	failures := make([]error, len(connections))
	var group sync.WaitGroup
	for i, one := range connections {
		group.Go(func() { failures[i] = one.run() })
	}
	group.Wait()
	elapsed := time.Since(start)
	done := report{
		ElapsedUs: elapsed.Microseconds(),
		CpuUs:     cpuUs() - cpu,
		Keys:      plan.key - o.firstKey,
		PerBody:   plan.perBody,
	}
	var latencies []time.Duration
	for i, one := range connections {
		result := one.result()
		done.Inserted += result.inserted
		done.SentBytes += result.sentBytes
		latencies = append(latencies, result.latencies...)
		if failures[i] != nil {
			done.Failures++
			if done.FirstFailure == "" {
				done.FirstFailure = failures[i].Error()
			}
		}
	}
	done.Requests = int64(len(latencies))
	if len(latencies) > 0 {
		slices.Sort(latencies)
		at := func(share float64) int64 {
			return latencies[int(share*float64(len(latencies)-1))].Microseconds()
		}
		done.P50Us, done.P99Us, done.MaxUs = at(0.5), at(0.99), at(1)
	}
	return &done, nil
}

// A plan says what to send next. All connections share it.
type plan struct {
	mutex    sync.Mutex
	bodies   []body
	tokens   []string
	requests int64
	rate     float64
	start    time.Time
	until    time.Time
	sent     int64
	key      uint64
	perBody  []int64
}

// next returns a message of its own to send, framed as gRPC wants it, or nil at the end, the token
// that it is sent with, and when it is due.
func (p *plan) next(scratch []byte) (message []byte, token string, due time.Time) {
	p.mutex.Lock()
	if p.requests > 0 && p.sent >= p.requests || !p.until.IsZero() && !time.Now().Before(p.until) {
		p.mutex.Unlock()
		return nil, "", time.Time{}
	}
	due = p.start
	if p.rate > 0 {
		due = due.Add(time.Duration(float64(p.sent) / p.rate * float64(time.Second)))
	}
	number := p.sent % int64(len(p.bodies))
	template := p.bodies[number]
	if len(p.tokens) > 0 {
		token = p.tokens[p.sent%int64(len(p.tokens))]
	}
	key := p.key
	p.sent++
	p.key += uint64(len(template.keys))
	p.perBody[number]++
	p.mutex.Unlock()

	message = append(scratch[:0], 0)
	message = binary.BigEndian.AppendUint32(message, uint32(len(template.bytes)))
	message = append(message, template.bytes...)
	for _, at := range template.keys {
		writeKey(message[messageHead+at:][:keyDigits], key)
		key++
	}
	return message, token, due
}

// end lets nothing follow what is already sent.
func (p *plan) end() {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.until = time.Now()
}

func writeKey(digits []byte, key uint64) {
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i] = byte('0' + key%10)
		key /= 10
	}
}

func readBodies(path string) ([]body, error) {
	file, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var bodies []body
	for reader := bytes.NewReader(file); reader.Len() > 0; {
		var size uint32
		if err := binary.Read(reader, binary.BigEndian, &size); err != nil {
			return nil, err
		}
		one := body{bytes: make([]byte, size)}
		if _, err := io.ReadFull(reader, one.bytes); err != nil {
			return nil, err
		}
		for at := 0; ; {
			found := bytes.Index(one.bytes[at:], []byte(keyPrefix))
			if found < 0 {
				break
			}
			at += found + len(keyPrefix)
			if at+keyDigits > len(one.bytes) {
				return nil, errors.New("a key is cut off")
			}
			one.keys = append(one.keys, at)
		}
		bodies = append(bodies, one)
	}
	if len(bodies) == 0 {
		return nil, errors.New("there are no requests in " + path)
	}
	return bodies, nil
}

func readTokens(path string) ([]string, error) {
	if path == "" {
		return nil, nil
	}
	file, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	tokens := strings.Fields(string(file))
	if len(tokens) == 0 {
		return nil, errors.New("there are no tokens in " + path)
	}
	return tokens, nil
}

// cpuUs is how long this program has computed so far.
func cpuUs() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return (usage.Utime.Nano() + usage.Stime.Nano()) / 1000
}
