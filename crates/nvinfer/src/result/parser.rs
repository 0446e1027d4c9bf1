//! `nvonnxparser::IParser` and `IParserError`.

use std::ffi::CStr;
use std::rc::Rc;

use super::network::Network;
use crate::error::{Error, ParserError, Unsupported};
use crate::sys::object::{Handle, call};
use crate::sys::slots::parser::{self, IParser};
use crate::sys::slots::parser_error::{self, IParserError};
use crate::sys::vtable::copy_text;
use crate::version::Family;

/// A parser. The network refers to weights that it keeps, so it must live until the network is built.
pub struct Parser {
    handle: Handle<IParser>,
    network: Rc<Network>,
}

impl Parser {
    /// Makes a parser that fills `network`.
    pub fn new(network: Rc<Network>) -> Result<Parser, Error> {
        let library = &network.builder.library;
        let (parser, logger) = (library.parser().map_err(Box::new)?, library.logger.as_ptr());
        // SAFETY: the network is alive, the logger lives forever, the number is the parser library's own.
        let public = unsafe { (parser.create)(network.public(), logger, parser.version) };
        // SAFETY: a new parser or null.
        let handle = unsafe { Handle::direct(library.version, public) };
        let handle = handle.ok_or_else(|| network.builder.creation("createNvOnnxParser"))?;
        Ok(Parser { handle, network })
    }

    /// Parses a serialized model; `path` says where it came from, so that external data is found beside it.
    pub fn parse(&self, model: &[u8], path: Option<&CStr>) -> Result<(), Error> {
        let path = path.map_or(std::ptr::null(), CStr::as_ptr);
        // SAFETY: the parser copies what it needs of the model and the path.
        let accepted = unsafe { call!(self.handle, parser::PARSE, model.as_ptr(), model.len(), path) }?;
        self.outcome(accepted)
    }

    /// Parses a model file. `verbosity` is the least severe message to log.
    pub fn parse_file(&self, path: &CStr, verbosity: i32) -> Result<(), Error> {
        // SAFETY: the path is used during the call.
        let accepted = unsafe { call!(self.handle, parser::PARSE_FROM_FILE, path.as_ptr(), verbosity) }?;
        self.outcome(accepted)
    }

    /// An empty file is a valid protobuf, and the parser content with it.
    fn outcome(&self, accepted: u8) -> Result<(), Error> {
        if accepted == 0 {
            return Err(Error::Parse { errors: self.errors()? });
        }
        if self.network.outputs()?.is_empty() { Err(Error::EmptyModel) } else { Ok(()) }
    }

    fn errors(&self) -> Result<Vec<ParserError>, Unsupported> {
        // SAFETY: no arguments.
        let count = unsafe { call!(self.handle, parser::GET_NB_ERRORS) }?;
        let mut errors = Vec::new();
        for index in 0..count {
            // SAFETY: the index is below the count; an error lives until the parser is cleared or deleted.
            let handle = unsafe {
                let public = call!(self.handle, parser::GET_ERROR, index)?;
                Handle::direct(self.handle.version, public)
            };
            if let Some(handle) = handle {
                errors.push(read(handle)?);
            }
        }
        Ok(errors)
    }
}

impl Drop for Parser {
    fn drop(&mut self) {
        // SAFETY: the parser is alive and ours; nothing uses it afterwards. In 8.x the destructor's slot moves and
        // destroy() is what stays.
        let result = unsafe {
            match self.handle.version.family {
                Family::V8 => call!(self.handle, parser::DESTROY),
                _ => call!(self.handle, parser::D0),
            }
        };
        debug_assert!(result.is_ok(), "every family has a way to delete a parser");
    }
}

fn read(error: Handle<IParserError>) -> Result<ParserError, Unsupported> {
    // SAFETY: none of them takes arguments; the texts live as long as the error.
    unsafe {
        Ok(ParserError {
            code: call!(error, parser_error::CODE)?,
            description: copy_text(call!(error, parser_error::DESC)?),
            node: usize::try_from(call!(error, parser_error::NODE)?).ok(),
            node_name: call!(error, parser_error::NODE_NAME).ok().map(|text| copy_text(text)),
            operator: call!(error, parser_error::NODE_OPERATOR).ok().map(|text| copy_text(text)),
            file: copy_text(call!(error, parser_error::FILE)?),
            line: call!(error, parser_error::LINE)?,
            function: copy_text(call!(error, parser_error::FUNC)?),
        })
    }
}
