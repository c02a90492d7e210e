package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// An http1Connection sends JSON over one HTTP/1.1 connection, one request at a time.
type http1Connection struct {
	tally
	socket net.Conn
	reader *bufio.Reader
	head   []byte
	plan   *plan
}

func dialHttp1(address, path string, plan *plan) (*http1Connection, error) {
	socket, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		return nil, err
	}
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nhost: %s\r\ncontent-type: application/json\r\ncontent-length: ", path, address)
	return &http1Connection{
		socket: socket,
		reader: bufio.NewReaderSize(socket, 64*1024),
		head:   []byte(head),
		plan:   plan,
	}, nil
}

func (c *http1Connection) close() {
	c.socket.Close()
}

func (c *http1Connection) result() *tally {
	return &c.tally
}

// run sends until the plan is at its end, or something fails.
func (c *http1Connection) run() error {
	var message, request []byte
	for {
		var due time.Time
		if message, _, due = c.plan.next(message); message == nil {
			return nil
		}
		if wait := time.Until(due); wait > 0 {
			time.Sleep(wait)
		}
		body := message[messageHead:]
		request = append(request[:0], c.head...)
		request = strconv.AppendInt(request, int64(len(body)), 10)
		request = append(request, "\r\n\r\n"...)
		request = append(request, body...)
		started := time.Now()
		if _, err := c.socket.Write(request); err != nil {
			return err
		}
		inserted, err := c.answer()
		if err != nil {
			return err
		}
		c.latencies = append(c.latencies, time.Since(started))
		c.inserted += inserted
		c.sentBytes += int64(len(body))
	}
}

var (
	contentLength = []byte("content-length: ")
	insertedField = []byte(`"inserted":`)
)

// answer reads an answer with a length and returns the number of events inserted, 0 if it says none.
func (c *http1Connection) answer() (int64, error) {
	status, err := c.reader.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if !bytes.HasPrefix(status, []byte("HTTP/1.1 200 ")) {
		rest, _ := io.ReadAll(io.LimitReader(c.reader, 1_000))
		return 0, fmt.Errorf("%s%s", status, rest)
	}
	length := -1
	for {
		line, err := c.reader.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		if value, found := bytes.CutPrefix(line, contentLength); found {
			if length, err = strconv.Atoi(string(value)); err != nil {
				return 0, err
			}
		}
	}
	if length < 0 {
		return 0, errors.New("an answer without a length")
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(c.reader, body); err != nil {
		return 0, err
	}
	_, rest, found := bytes.Cut(body, insertedField)
	if !found {
		return 0, nil
	}
	digits := 0
	for digits < len(rest) && '0' <= rest[digits] && rest[digits] <= '9' {
		digits++
	}
	return strconv.ParseInt(string(rest[:digits]), 10, 64)
}
