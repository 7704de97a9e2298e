"""MADDNESS learners: from sample rows and B to hash trees and look-up tables."""
