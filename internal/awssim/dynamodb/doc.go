// Package dynamodb simulates as much of Amazon DynamoDB as the ledger (worker/ledger/dynamo) and the
// set-up that README documents use, as the API reference (DynamoDB_20120810) and the developer guide
// describe it; pages are named where a number or a rule comes from. It owns tables and items, and knows
// neither the ledger nor the wire.
//
// # What it does
//
// On-demand tables, and global secondary indexes that hold keys alone; a key is one attribute, a string.
// Time to live; conditional writes, transactions of them with tokens, and batches; pages of what an index
// has under a key. Values are S, N (whole numbers), B, and L of these. Conditions have = <> < <= > >=,
// AND, OR, NOT, attribute_exists and attribute_not_exists; updates have SET with + - and if_not_exists,
// REMOVE, and ADD of numbers. What else is needed is added when it is: most is one case of a switch.
//
// # What it refuses
//
// Everything else, by name, so that nobody takes its answer for DynamoDB's: status 400, and the code
// NotSimulated with "the simulator does not do Scan", which AWS never says. Parameters are refused where no request has a
// field for them (operation), operations by a list (refusedOperations), and the rest where it is read.
//
// # What AWS leaves open
//
// One lock guards all tables, so that reads of a table are consistent and no two transactions ever
// overlap: TransactionConflict arises by faults alone. An index shows every write at once, where AWS's
// shows it a little later, unless [Options].IndexLag says otherwise. An item whose time to live has
// passed remains, as AWS allows for some days, until [DynamoDB.Expire] is called. The texts of refusals are
// close to AWS's, and are no contract there either.
//
// # Faults
//
// An item is named by its key. A fault of a single item makes it an UnprocessedItem or UnprocessedKey of
// a batch; in a transaction, it cancels the whole of it, with TransactionConflict (or the rule's code) as
// the item's reason; a single write is refused by TransactionConflictException.
package dynamodb
