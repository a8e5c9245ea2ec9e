//! AWS as the bundle sees it, in one process.
//! Only services our functions call live here, only the operations they use, and nothing of them reaches the Lambda artifact.

pub mod dynamodb;
