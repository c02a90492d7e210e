package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	// A message follows a byte that says whether it is compressed, and its length.
	messageHead = 5

	// What HTTP/2 allows before the server has said what it allows.
	defaultWindow   = 65_535
	defaultFrameMax = 16_384

	// How much of the answers may be under way.
	receiveWindow = 1 << 30
)

// A connection sends requests over one HTTP/2 connection and keeps a number of them under way. All
// of it happens in one goroutine: an answer that arrives makes room for the next request.
type connection struct {
	socket   net.Conn
	reader   *bufio.Reader
	writer   *bufio.Writer
	framer   *http2.Framer
	headers  *hpack.Encoder
	block    bytes.Buffer
	path     string
	host     string
	plan     *plan
	inFlight int

	nextStream    uint32
	frameMax      int
	streamWindow  int64
	connWindow    int64
	receivedBytes uint32
	calls         map[uint32]*call
	// The calls that still have something to send, the oldest first.
	sending []*call
	// Messages that are not needed any more, to be written over.
	spare [][]byte

	tally
}

// A call is a request under way.
type call struct {
	stream  uint32
	started time.Time
	message []byte
	unsent  []byte
	window  int64
	answer  []byte
}

func dial(address, path string, inFlight int, plan *plan) (*connection, error) {
	socket, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		return nil, err
	}
	c := &connection{
		socket:       socket,
		reader:       bufio.NewReaderSize(socket, 64*1024),
		writer:       bufio.NewWriterSize(socket, 256*1024),
		path:         path,
		host:         address,
		plan:         plan,
		inFlight:     inFlight,
		nextStream:   1,
		frameMax:     defaultFrameMax,
		streamWindow: defaultWindow,
		connWindow:   defaultWindow,
		calls:        map[uint32]*call{},
	}
	c.framer = http2.NewFramer(c.writer, c.reader)
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.framer.SetReuseFrames()
	c.headers = hpack.NewEncoder(&c.block)
	if err := c.greet(); err != nil {
		socket.Close()
		return nil, err
	}
	return c, nil
}

// greet opens the connection and waits for the settings of the server.
func (c *connection) greet() error {
	if _, err := c.writer.WriteString(http2.ClientPreface); err != nil {
		return err
	}
	if err := c.framer.WriteSettings(
		http2.Setting{ID: http2.SettingEnablePush, Val: 0},
		http2.Setting{ID: http2.SettingInitialWindowSize, Val: receiveWindow},
	); err != nil {
		return err
	}
	if err := c.framer.WriteWindowUpdate(0, receiveWindow-defaultWindow); err != nil {
		return err
	}
	if err := c.writer.Flush(); err != nil {
		return err
	}
	for {
		frame, err := c.framer.ReadFrame()
		if err != nil {
			return err
		}
		if err := c.receive(frame); err != nil {
			return err
		}
		if settings, ok := frame.(*http2.SettingsFrame); ok && !settings.IsAck() {
			return c.writer.Flush()
		}
	}
}

func (c *connection) close() {
	c.socket.Close()
}

func (c *connection) result() *tally {
	return &c.tally
}

// run sends until the plan is at its end and everything is answered, or something fails.
func (c *connection) run() error {
	for range c.inFlight {
		if err := c.call(); err != nil {
			return err
		}
	}
	for len(c.calls) > 0 {
		// Only where nothing is left to read: several answers make one write.
		if c.reader.Buffered() == 0 {
			if err := c.writer.Flush(); err != nil {
				return err
			}
		}
		frame, err := c.framer.ReadFrame()
		if err != nil {
			return err
		}
		if err := c.receive(frame); err != nil {
			return err
		}
	}
	return nil
}

// call begins the next request, if there is one.
func (c *connection) call() error {
	var scratch []byte
	if last := len(c.spare) - 1; last >= 0 {
		scratch, c.spare = c.spare[last], c.spare[:last]
	}
	message, token, due := c.plan.next(scratch)
	if message == nil {
		return nil
	}
	// Answers that come meanwhile are read afterwards, so that a run at a rate tells little about
	// how long they take.
	if wait := time.Until(due); wait > 0 {
		if err := c.writer.Flush(); err != nil {
			return err
		}
		time.Sleep(wait)
	}
	one := &call{
		stream:  c.nextStream,
		started: time.Now(),
		message: message,
		unsent:  message,
		window:  c.streamWindow,
	}
	c.nextStream += 2
	c.block.Reset()
	for _, field := range [...]hpack.HeaderField{
		{Name: ":method", Value: "POST"},
		{Name: ":scheme", Value: "http"},
		{Name: ":path", Value: c.path},
		{Name: ":authority", Value: c.host},
		{Name: "te", Value: "trailers"},
		{Name: "content-type", Value: "application/grpc"},
		{Name: "user-agent", Value: "cost-insights-load"},
	} {
		if err := c.headers.WriteField(field); err != nil {
			return err
		}
	}
	if token != "" {
		field := hpack.HeaderField{Name: "authorization", Value: "Bearer " + token}
		if err := c.headers.WriteField(field); err != nil {
			return err
		}
	}
	if err := c.framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID:      one.stream,
		BlockFragment: c.block.Bytes(),
		EndHeaders:    true,
	}); err != nil {
		return err
	}
	c.calls[one.stream] = one
	c.sending = append(c.sending, one)
	return c.send()
}

// send writes as much of the messages as the server has room for.
func (c *connection) send() error {
	waiting := c.sending[:0]
	for _, one := range c.sending {
		for len(one.unsent) > 0 {
			size := min(int64(len(one.unsent)), int64(c.frameMax), one.window, c.connWindow)
			if size <= 0 {
				break
			}
			part := one.unsent[:size]
			one.unsent = one.unsent[size:]
			one.window -= size
			c.connWindow -= size
			if err := c.framer.WriteData(one.stream, len(one.unsent) == 0, part); err != nil {
				return err
			}
		}
		if len(one.unsent) > 0 {
			waiting = append(waiting, one)
		}
	}
	clear(c.sending[len(waiting):])
	c.sending = waiting
	return nil
}

func (c *connection) receive(frame http2.Frame) error {
	switch frame := frame.(type) {
	case *http2.SettingsFrame:
		if frame.IsAck() {
			return nil
		}
		if size, ok := frame.Value(http2.SettingMaxFrameSize); ok {
			c.frameMax = int(size)
		}
		if window, ok := frame.Value(http2.SettingInitialWindowSize); ok {
			for _, one := range c.calls {
				one.window += int64(window) - c.streamWindow
			}
			c.streamWindow = int64(window)
		}
		if err := c.framer.WriteSettingsAck(); err != nil {
			return err
		}
		return c.send()
	case *http2.WindowUpdateFrame:
		if frame.StreamID == 0 {
			c.connWindow += int64(frame.Increment)
		} else if one := c.calls[frame.StreamID]; one != nil {
			one.window += int64(frame.Increment)
		}
		return c.send()
	case *http2.PingFrame:
		if frame.IsAck() {
			return nil
		}
		return c.framer.WritePing(true, frame.Data)
	case *http2.DataFrame:
		if one := c.calls[frame.StreamID]; one != nil {
			one.answer = append(one.answer, frame.Data()...)
		}
		c.receivedBytes += frame.Length
		if c.receivedBytes > receiveWindow/2 {
			received := c.receivedBytes
			c.receivedBytes = 0
			return c.framer.WriteWindowUpdate(0, received)
		}
		return nil
	case *http2.MetaHeadersFrame:
		return c.receiveHeaders(frame)
	case *http2.RSTStreamFrame:
		return fmt.Errorf("the server reset a request: %v", frame.ErrCode)
	case *http2.GoAwayFrame:
		return fmt.Errorf("the server goes away: %v", frame.ErrCode)
	default:
		return nil
	}
}

// receiveHeaders takes the headers of an answer, or the trailers that end it.
func (c *connection) receiveHeaders(frame *http2.MetaHeadersFrame) error {
	one := c.calls[frame.StreamID]
	if one == nil {
		return errors.New("an answer to no request")
	}
	if !frame.StreamEnded() {
		return nil
	}
	var status, words string
	for _, field := range frame.Fields {
		switch field.Name {
		case "grpc-status":
			status = field.Value
		case "grpc-message":
			words = field.Value
		}
	}
	if status != "0" {
		return fmt.Errorf("status %q: %s", status, words)
	}
	if len(one.unsent) > 0 {
		return errors.New("an answer before the request was sent")
	}
	inserted, err := insertedOf(one.answer)
	if err != nil {
		return err
	}
	delete(c.calls, one.stream)
	c.latencies = append(c.latencies, time.Since(one.started))
	c.inserted += inserted
	c.sentBytes += int64(len(one.message) - messageHead)
	c.spare = append(c.spare, one.message)
	return c.call()
}

// insertedOf reads field 1 of an IngestEventsResponse, which comes first if it is there.
func insertedOf(answer []byte) (int64, error) {
	if len(answer) < messageHead || len(answer) != messageHead+int(binary.BigEndian.Uint32(answer[1:])) {
		return 0, errors.New("an answer that is not one message")
	}
	message := answer[messageHead:]
	if len(message) < 2 || message[0] != 1<<3 {
		return 0, nil
	}
	value, _ := binary.Uvarint(message[1:])
	return int64(value), nil
}
