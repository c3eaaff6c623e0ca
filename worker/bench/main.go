package main

import (
	_ "github.com/ThreeDotsLabs/watermill-aws/sns"
	_ "github.com/ThreeDotsLabs/watermill-aws/sqs"
	_ "github.com/rescindhq/rescind/internal/awssim"
	_ "github.com/rescindhq/rescind/worker"
	_ "github.com/rescindhq/rescind/worker/ledger/bolt"
)

func main() {}
