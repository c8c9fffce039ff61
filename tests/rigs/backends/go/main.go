// Go's HTTP server, which says on standard output what it has understood: one line for each request.
//
//	backend PORT
package main

import (
	"encoding/json"
	"io"
	"log"
	"net/http"
	"os"
	"sync"
)

type seen struct {
	ID     string `json:"id"`
	Method string `json:"method"`
	Target string `json:"target"`
	Host   string `json:"host"`
	Body   int64  `json:"body"`
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: backend PORT")
	}
	var writing sync.Mutex
	output := json.NewEncoder(os.Stdout)
	handler := http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		body, err := io.Copy(io.Discard, request.Body)
		if err != nil {
			// A body that breaks off is no request.
			http.Error(response, "the body breaks off", http.StatusBadRequest)
			return
		}
		writing.Lock()
		defer writing.Unlock()
		_ = output.Encode(seen{
			ID:     request.Header.Get("X-Request-Id"),
			Method: request.Method,
			Target: request.RequestURI,
			Host:   request.Host,
			Body:   body,
		})
		_, _ = io.WriteString(response, "ok")
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], handler))
}
