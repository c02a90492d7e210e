// Command load sends prepared requests to a gRPC method, as many at a time as it is told to, and
// prints what came of them as JSON.
//
// It knows bytes, not messages: the requests come from a file, and only the keys in them are
// written over before each is sent, so that no event is sent twice. It is a program of its own, in
// a compiled language, so that what is measured is the server; its own processor time is part of
// the report, so that this can be checked.
package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
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
	firstKey    uint64
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
	flag.StringVar(&o.method, "method", "/cost_insights.v1.EventService/IngestEvents", "what to call")
	flag.StringVar(&o.bodies, "bodies", "", "a file of requests, each after its length in four bytes, the highest first")
	flag.IntVar(&o.inFlight, "in-flight", 1, "how many requests wait for an answer at a time")
	flag.IntVar(&o.connections, "connections", 1, "over how many connections")
	flag.Float64Var(&o.seconds, "seconds", 0, "for how long to send")
	flag.Int64Var(&o.requests, "requests", 0, "how many requests to send, if not for a time")
	flag.Uint64Var(&o.firstKey, "first-key", 0, "the key of the first event")
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
	if o.inFlight < 1 || o.connections < 1 || (o.seconds > 0) == (o.requests > 0) {
		return nil, errors.New("give -in-flight and -connections of at least 1, and one of -seconds and -requests")
	}
	bodies, err := readBodies(o.bodies)
	if err != nil {
		return nil, err
	}
	connections := make([]*grpc.ClientConn, o.connections)
	for i := range connections {
		connections[i], err = grpc.NewClient("passthrough:///"+o.address,
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.ForceCodec(rawCodec{})),
			grpc.WithDisableServiceConfig(),
			// Large enough that a request of a thousand events is one write, not one a frame.
			grpc.WithWriteBufferSize(256*1024),
		)
		if err != nil {
			return nil, err
		}
		defer connections[i].Close()
		connections[i].Connect()
	}
	if err := awaitReady(connections); err != nil {
		return nil, err
	}

	senders := make([]sender, o.inFlight)
	for i := range senders {
		senders[i] = sender{
			connection: connections[i%len(connections)],
			method:     o.method,
			bodies:     bodies,
			perBody:    make([]int64, len(bodies)),
		}
	}
	var next, keys atomic.Int64
	keys.Store(int64(o.firstKey))
	cpu := cpuUs()
	start := time.Now()
	until := start.Add(time.Duration(o.seconds * float64(time.Second)))
	var group sync.WaitGroup
	for i := range senders {
		group.Go(func() {
			for {
				number := next.Add(1) - 1
				if o.requests > 0 && number >= o.requests || o.seconds > 0 && !time.Now().Before(until) {
					return
				}
				if !senders[i].send(int(number%int64(len(bodies))), &keys) {
					return
				}
			}
		})
	}
	group.Wait()
	elapsed := time.Since(start)
	done := report{
		ElapsedUs: elapsed.Microseconds(),
		CpuUs:     cpuUs() - cpu,
		Keys:      uint64(keys.Load()) - o.firstKey,
		PerBody:   make([]int64, len(bodies)),
	}
	var latencies []time.Duration
	for _, one := range senders {
		done.Inserted += one.inserted
		done.SentBytes += one.sentBytes
		latencies = append(latencies, one.latencies...)
		for i, count := range one.perBody {
			done.PerBody[i] += count
		}
		if one.failure != nil {
			done.Failures++
			if done.FirstFailure == "" {
				done.FirstFailure = one.failure.Error()
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

// A sender sends one request at a time, until one fails.
type sender struct {
	connection *grpc.ClientConn
	method     string
	bodies     []body
	scratch    []byte
	perBody    []int64
	latencies  []time.Duration
	inserted   int64
	sentBytes  int64
	failure    error
}

func (s *sender) send(number int, keys *atomic.Int64) bool {
	template := s.bodies[number]
	request := template.bytes
	if count := int64(len(template.keys)); count > 0 {
		s.scratch = append(s.scratch[:0], template.bytes...)
		request = s.scratch
		key := uint64(keys.Add(count) - count)
		for _, at := range template.keys {
			writeKey(request[at:at+keyDigits], key)
			key++
		}
	}
	start := time.Now()
	var answer []byte
	if s.failure = s.connection.Invoke(context.Background(), s.method, request, &answer); s.failure != nil {
		return false
	}
	s.latencies = append(s.latencies, time.Since(start))
	s.inserted += insertedOf(answer)
	s.sentBytes += int64(len(request))
	s.perBody[number]++
	return true
}

func writeKey(digits []byte, key uint64) {
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i] = byte('0' + key%10)
		key /= 10
	}
}

// insertedOf reads field 1 of an IngestEventsResponse, which comes first if it is there.
func insertedOf(answer []byte) int64 {
	if len(answer) < 2 || answer[0] != 1<<3 {
		return 0
	}
	value, _ := binary.Uvarint(answer[1:])
	return int64(value)
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

func awaitReady(connections []*grpc.ClientConn) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, connection := range connections {
		for state := connection.GetState(); state.String() != "READY"; state = connection.GetState() {
			if !connection.WaitForStateChange(ctx, state) {
				return errors.New("the server does not answer")
			}
		}
	}
	return nil
}

// cpuUs is how long this program has computed so far.
func cpuUs() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return (usage.Utime.Nano() + usage.Stime.Nano()) / 1000
}

// A rawCodec sends and receives bytes as they are.
type rawCodec struct{}

func (rawCodec) Marshal(message any) ([]byte, error) {
	return message.([]byte), nil
}

func (rawCodec) Unmarshal(data []byte, message any) error {
	// A copy: what is given belongs to the transport again afterwards.
	*message.(*[]byte) = slices.Clone(data)
	return nil
}

func (rawCodec) Name() string {
	return "proto"
}
